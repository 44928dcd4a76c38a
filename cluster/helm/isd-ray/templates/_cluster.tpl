{{/* The pods of every kind: the spec of a RayCluster. */}}
{{- define "isd.cluster" -}}
{{- $fixed := not (empty .Values.queue.kueue) -}}
rayVersion: 2.60.0
authOptions:
  mode: token
  secretName: {{ .Values.tokenSecret }}
enableInTreeAutoscaling: {{ not $fixed }}
{{- if not $fixed }}
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: 300
  resources:
    requests: {cpu: 500m, memory: 1Gi}
    limits: {cpu: 500m, memory: 1Gi}
  securityContext:
    {{- include "isd.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
{{- end }}
headGroupSpec:
  serviceType: ClusterIP
  resources: {CPU: "0"}                      # no actor beside the GCS; drivers need no CPU
  rayStartParams:
    object-store-memory: {{ .Values.head.objectStoreBytes | quote }}
  template:
    metadata:
      labels:
        {{- include "isd.podLabels" (dict "root" . "component" "head") | nindent 8 }}
    spec:
      {{- include "isd.rayPod" (dict "root" . "group" .Values.head "name" "ray-head" "variant" "cpu") | nindent 6 }}
workerGroupSpecs:
{{- if gt (int .Values.trainer.maxReplicas) 0 }}
  - groupName: trainer
    {{- include "isd.sizes" (dict "fixed" $fixed "n" .Values.trainer.maxReplicas) | trim | nindent 4 }}
    resources:                               # a trainer for each GPU, and no room for a scorer
      {{- range list "CPU" "GPU" "isd_trainer" }}
      {{ . }}: {{ $.Values.trainer.gpus | quote }}
      {{- end }}
    rayStartParams:
      object-store-memory: {{ .Values.trainer.objectStoreBytes | quote }}
    template:
      metadata:
        labels:
          {{- include "isd.podLabels" (dict "root" . "component" "trainer") | nindent 10 }}
      spec:
        automountServiceAccountToken: false
        {{- with .Values.trainer.runtimeClassName }}
        runtimeClassName: {{ . }}
        {{- end }}
        {{- include "isd.rayPod" (dict "root" . "group" .Values.trainer "name" "ray-worker" "variant" "cuda") | nindent 8 }}
{{- end }}
  - groupName: scorer
    {{- include "isd.sizes" (dict "fixed" $fixed "n" .Values.scorer.maxReplicas) | trim | nindent 4 }}
    resources: {CPU: {{ .Values.scorer.cpus | quote }}, isd_scorer: {{ .Values.scorer.cpus | quote }}}
    rayStartParams:
      object-store-memory: {{ .Values.scorer.objectStoreBytes | quote }}
    template:
      metadata:
        labels:
          {{- include "isd.podLabels" (dict "root" . "component" "scorer") | nindent 10 }}
      spec:
        automountServiceAccountToken: false
        {{- include "isd.rayPod" (dict "root" . "group" .Values.scorer "name" "ray-worker" "variant" "cpu") | nindent 8 }}
{{- end -}}

{{/* How many nodes a group has: dict "fixed" "n". */}}
{{- define "isd.sizes" -}}
{{- if .fixed }}
replicas: {{ .n }}
minReplicas: {{ .n }}
{{- else }}
minReplicas: 0
{{- end }}
maxReplicas: {{ .n }}
{{- end -}}

{{/* A Ray node: dict "root" "group" "name" "variant". */}}
{{- define "isd.rayPod" -}}
{{- include "isd.pod" . | trim }}
{{- $serving := and (eq .name "ray-head") .root.Values.coordinators.enabled }}
{{- if $serving }}
shareProcessNamespace: true
initContainers:
  {{- include "isd.coordinators" .root | trim | nindent 2 }}
{{- end }}
containers:
  - name: {{ .name }}
    {{- include "isd.image" . | nindent 4 }}
    ports:
      {{- if eq .name "ray-head" }}
      - {name: gcs-server, containerPort: 6379}
      - {name: dashboard, containerPort: 8265}
      - {name: client, containerPort: 10001}
      {{- end }}
      - {name: metrics, containerPort: 8080}
    resources:
      {{- range list "requests" "limits" }}
      {{ . }}:
        cpu: {{ $.group.cpus | quote }}
        memory: {{ $.group.memory }}
        {{- with $.group.gpus }}
        nvidia.com/gpu: {{ . | quote }}
        {{- end }}
      {{- end }}
    securityContext:
      {{- include "isd.containerSecurity" . | nindent 6 }}
    {{- with include "isd.env" .root | trim }}{{ . | nindent 4 }}{{ end }}
    volumeMounts:
      - {{ include "isd.storageMount" .root }}
      - {name: isd-campaign, mountPath: /etc/isd, readOnly: true}
      - {name: shared-mem, mountPath: /dev/shm}
      - {name: tmp, mountPath: /tmp}
      - {name: ray-logs, mountPath: /tmp/ray}
      {{- with include "isd.caMount" .root | trim }}{{ . | nindent 6 }}{{ end }}
volumes:
  - {{ include "isd.storageVolume" .root }}
  - {name: isd-campaign, configMap: {name: {{ .root.Release.Name }}-campaign}}
  - {name: tmp, emptyDir: {sizeLimit: 20Gi}}
  - {name: ray-logs, emptyDir: {sizeLimit: 50Gi}}   # also objects that spill
  - {name: shared-mem, emptyDir: {medium: Memory, sizeLimit: {{ .group.sharedMemory }}}}
  {{- if $serving }}
  - {name: coordinators-tokens, secret: {secretName: {{ .root.Values.coordinators.tokenSecret }}, defaultMode: 288}}   # 0440
  {{- end }}
  {{- with include "isd.caVolume" .root | trim }}{{ . | nindent 2 }}{{ end }}
{{- end -}}

{{/* The pod that hands the command to the Jobs API and follows its log. */}}
{{- define "isd.submitter" -}}
metadata:
  labels:
    {{- include "isd.podLabels" (dict "root" . "component" "submitter") | nindent 4 }}
    isd-ray-client: "true"
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  {{- include "isd.pod" (dict "root" . "group" (dict)) | trim | nindent 2 }}
  containers:
    - name: ray-job-submitter
      {{- include "isd.image" (dict "root" . "variant" "cpu") | nindent 6 }}
      resources:
        requests: {cpu: 500m, memory: 1Gi}
        limits: {cpu: 500m, memory: 1Gi}
      securityContext:
        {{- include "isd.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: 1Gi}}
{{- end -}}
