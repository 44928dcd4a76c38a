{{/* Names leave room for what the operator appends: 47 letters for a RayJob, 36 for a RayCronJob. */}}
{{- define "isd.name" -}}
{{- $longest := dict "screen" 40 "cluster" 53 "nightly" 28 -}}
{{- if gt (len .Release.Name) (int (get $longest .Values.kind)) -}}
{{- fail (printf "the release name %q has more than %d letters, too many for kind %s" .Release.Name (int (get $longest .Values.kind)) .Values.kind) -}}
{{- end -}}
{{- .Release.Name -}}
{{- end -}}

{{/* Values that a schema cannot refuse, for each is right by itself. */}}
{{- define "isd.check" -}}
{{- $out := dict "screen" .Values.screen.out "nightly" .Values.nightly.folder "cluster" "" -}}
{{- $places := list (get $out .Values.kind) -}}
{{- if .Values.serve.enabled }}{{ $places = concat $places .Values.serve.places }}{{ end -}}
{{- range compact $places -}}
{{- if and $.Values.objectStore.secret (not (contains "://" .)) -}}
{{- fail (printf "with objectStore.secret there is no claim, so %s would be lost: name a URI, as s3://bucket/folder" .) -}}
{{- end -}}
{{- if and (contains "://" .) (not $.Values.objectStore.secret) -}}
{{- fail (printf "%s is in an object store: name the Secret with its credentials as objectStore.secret" .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.objectStore.secret (not .Values.campaign) -}}
{{- fail "the quickstart lies on a claim, and with objectStore.secret there is none: give your campaign, --set-file campaign=campaign.toml" -}}
{{- end -}}
{{- if and (eq .Values.kind "nightly") (or .Values.queue.kueue .Values.queue.volcano) -}}
{{- fail "jobs of a RayCronJob do not inherit labels, so no queue sees them: leave queue empty with kind nightly" -}}
{{- end -}}
{{- end -}}

{{/* What all objects bear. */}}
{{- define "isd.labels" -}}
app.kubernetes.io/part-of: isd-ray
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* What pods of a component bear, by which they are selected: dict "root" "component". */}}
{{- define "isd.podLabels" -}}
app.kubernetes.io/part-of: isd-ray
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* An image: dict "root" "variant". */}}
{{- define "isd.image" -}}
image: {{ printf "%s:%s-%s" .root.Values.image.repository (default .root.Chart.AppVersion .root.Values.image.tag) .variant | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end -}}

{{/* What every pod says of itself, where it may run included: dict "root" "group"; a group has nodeSelector and tolerations of its own. */}}
{{- define "isd.pod" -}}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
{{- if not .root.Values.openshift }}
  runAsUser: {{ .root.Values.security.runAsUser }}
  runAsGroup: {{ .root.Values.security.runAsGroup }}
  fsGroup: {{ .root.Values.security.fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
{{- with .root.Values.security.supplementalGroups }}
  supplementalGroups: {{ toJson . }}
{{- end }}
{{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with merge (dict) (default (dict) .group.nodeSelector) .root.Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with concat .root.Values.tolerations (default (list) .group.tolerations) }}
tolerations: {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "isd.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end -}}

{{/* Credentials, proxies and authorities of whoever reaches outside. */}}
{{- define "isd.env" -}}
{{- if .Values.objectStore.secret }}
envFrom:
  - secretRef: {name: {{ .Values.objectStore.secret }}}
{{- end }}
{{- if or .Values.objectStore.secret .Values.proxy.url .Values.ca.configMap }}
env:
{{- if .Values.objectStore.secret }}
  - {name: ISD_CACHE, value: /cache}
{{- end }}
{{- if .Values.proxy.url }}
{{- range list "HTTP_PROXY" "HTTPS_PROXY" }}
  - {name: {{ . }}, value: {{ $.Values.proxy.url | quote }}}
{{- end }}
  - {name: NO_PROXY, value: {{ .Values.proxy.exceptions | quote }}}
{{- end }}
{{- if .Values.ca.configMap }}
{{- range list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" }}
  - {name: {{ . }}, value: /etc/isd-ca/ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where campaigns lie: the claim, or copies of what is in the object store. */}}
{{- define "isd.storageMount" -}}
{{- if .Values.objectStore.secret -}}
{name: cache, mountPath: /cache}
{{- else -}}
{name: isd-storage, mountPath: /isd}
{{- end -}}
{{- end -}}

{{- define "isd.storageVolume" -}}
{{- if .Values.objectStore.secret -}}
{name: cache, emptyDir: {sizeLimit: {{ .Values.objectStore.cacheSize }}}}
{{- else -}}
{name: isd-storage, persistentVolumeClaim: {claimName: {{ default (printf "%s-storage" .Release.Name) .Values.storage.existingClaim }}}}
{{- end -}}
{{- end -}}

{{- define "isd.caMount" -}}
{{- if .Values.ca.configMap }}
- {name: ca, mountPath: /etc/isd-ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "isd.caVolume" -}}
{{- if .Values.ca.configMap }}
- {name: ca, configMap: {name: {{ .Values.ca.configMap }}, items: [{key: {{ .Values.ca.key }}, path: ca.crt}]}}
{{- end }}
{{- end -}}
