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
{{- if .Values.coordinators.enabled }}{{ $places = concat $places .Values.coordinators.places }}{{ end -}}
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
{{- if and .Values.campaign (not (contains "=" .Values.campaign)) -}}
{{- fail (printf "campaign is %q, which is no text of a campaign: give the file by --set-file campaign=FILE, for --set takes its name as the text" .Values.campaign) -}}
{{- end -}}
{{- if and .Values.coordinators.enabled (ne .Values.kind "cluster") -}}
{{- fail (printf "the cluster of kind %s ends with its job, and the service of coordinators with it: give coordinators.enabled with kind cluster" .Values.kind) -}}
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
{{- with include "isd.variables" . | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Variables of whoever reaches outside, as items of a list. */}}
{{- define "isd.variables" -}}
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
{{- end -}}

{{/* A container that makes the folders among places of campaigns, for on a new claim there are none yet: dict "root" "places". */}}
{{- define "isd.folders" -}}
{{- $folders := list }}
{{- range .places }}
{{- if hasPrefix "/" . }}{{ $folders = append $folders . }}{{ end }}
{{- end }}
{{- if $folders }}
- name: folder
  {{- include "isd.image" (dict "root" .root "variant" "cpu") | nindent 2 }}
  command: {{ toJson (concat (list "mkdir" "-p") $folders) }}
  resources:
    requests: {cpu: 100m, memory: 64Mi}
    limits: {cpu: 100m, memory: 64Mi}
  securityContext:
    {{- include "isd.containerSecurity" .root | nindent 4 }}
  volumeMounts:
    - {{ include "isd.storageMount" .root }}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end -}}

{{/* Service and Ingress of what people reach from outside, with TLS: dict "root" "name" "component" "of" "portName" "port". */}}
{{- define "isd.published" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "isd.labels" .root | nindent 4 }}
spec:
  type: ClusterIP
  selector:
    {{- include "isd.podLabels" . | nindent 4 }}
  ports:
    - {name: {{ .portName }}, port: 80, targetPort: {{ .port }}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "isd.labels" .root | nindent 4 }}
  {{- with .of.ingress.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .of.ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  tls:
    - {hosts: [{{ .of.host }}], secretName: {{ .of.tlsSecret }}}
  rules:
    - host: {{ .of.host }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: {{ .root.Release.Name }}-{{ .name }}, port: {name: {{ .portName }}}}}
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
