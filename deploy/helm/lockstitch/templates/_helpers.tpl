{{- define "lockstitch.name" -}}
{{- if contains "lockstitch" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-lockstitch" (.Release.Name | trunc 41 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{- define "lockstitch.selector" -}}
app.kubernetes.io/name: lockstitch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lockstitch.labels" -}}
{{ include "lockstitch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "lockstitch.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "lockstitch.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "lockstitch.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "lockstitch.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{- default (printf "%s-tls" (include "lockstitch.name" .)) .Values.tls.secret -}}
{{- else -}}
{{- .Values.tls.secret -}}
{{- end -}}
{{- end }}

{{/* A value in TOML. Helm reads numbers of YAML as floats. */}}
{{- define "lockstitch.toml" -}}
{{- if kindIs "string" . -}}{{ toJson . }}
{{- else if kindIs "bool" . -}}{{ . }}
{{- else if eq (float64 .) (floor .) -}}{{ printf "%d" (int64 .) }}
{{- else -}}{{ printf "%g" (float64 .) }}
{{- end -}}
{{- end }}

{{/* The settings that the chart derives from its values; `settings` takes precedence. */}}
{{- define "lockstitch.settings" -}}
{{- $tls := include "lockstitch.tlsSecret" . -}}
listen: "0.0.0.0:50051"
insecure: {{ .Values.insecure }}
drain_delay_seconds: {{ .Values.drain.delaySeconds }}
drain_seconds: {{ .Values.drain.seconds }}
{{- if .Values.metrics.enabled }}
metrics_listen: {{ printf "0.0.0.0:%d" (int .Values.metrics.port) | quote }}
{{- end }}
{{- if $tls }}
tls:
  certificate: /etc/lockstitch/tls/tls.crt
  private_key: /etc/lockstitch/tls/tls.key
  {{- if .Values.tls.mutual }}
  client_ca: /etc/lockstitch/tls/ca.crt
  {{- end }}
{{- end }}
{{- if or .Values.auth.keysSecret.name .Values.auth.certificatesSecret.name }}
auth:
  {{- if .Values.auth.keysSecret.name }}
  keys: /etc/lockstitch/keys/keys.json
  {{- end }}
  {{- if .Values.auth.certificatesSecret.name }}
  certificates: /etc/lockstitch/certificates/certificates.toml
  {{- end }}
{{- end }}
{{- end }}

{{- define "lockstitch.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "lockstitch.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "lockstitch.env" -}}
- { name: LOCKSTITCH_CONFIG, value: /etc/lockstitch/settings/lockstitch.toml }
{{- if eq .Values.store.kind "sqlite" }}
- { name: LOCKSTITCH_STORE, value: "sqlite:////data/lockstitch.db" }
{{- else if .Values.store.postgres.urlSecret.name }}
- name: LOCKSTITCH_STORE
  valueFrom: { secretKeyRef: { name: {{ .Values.store.postgres.urlSecret.name | quote }}, key: {{ .Values.store.postgres.urlSecret.key | quote }} } }
{{- else }}
- { name: LOCKSTITCH_STORE, value: {{ required "store.postgres.url, or store.postgres.urlSecret.name, is required" .Values.store.postgres.url | quote }} }
{{- end }}
{{- if and (eq .Values.store.kind "postgres") .Values.store.postgres.passwordSecret.name }}
- name: PGPASSWORD
  valueFrom: { secretKeyRef: { name: {{ .Values.store.postgres.passwordSecret.name | quote }}, key: {{ .Values.store.postgres.passwordSecret.key | quote }} } }
{{- end }}
{{- end }}

{{- define "lockstitch.mounts" -}}
- { name: settings, mountPath: /etc/lockstitch/settings, readOnly: true }
{{- if include "lockstitch.tlsSecret" . }}
- { name: tls, mountPath: /etc/lockstitch/tls, readOnly: true }
{{- end }}
{{- if .Values.auth.keysSecret.name }}
- { name: keys, mountPath: /etc/lockstitch/keys, readOnly: true }
{{- end }}
{{- if .Values.auth.certificatesSecret.name }}
- { name: certificates, mountPath: /etc/lockstitch/certificates, readOnly: true }
{{- end }}
- { name: data, mountPath: /data }
- { name: tmp, mountPath: /tmp }
{{- end }}

{{- define "lockstitch.volumes" -}}
- name: settings
  configMap: { name: {{ include "lockstitch.name" . }} }
{{- with include "lockstitch.tlsSecret" . }}
- name: tls
  secret: { secretName: {{ . }}, defaultMode: 288 }
{{- end }}
{{- with .Values.auth.keysSecret }}
{{- if .name }}
- name: keys
  secret: { secretName: {{ .name | quote }}, defaultMode: 288, items: [{ key: {{ .key | quote }}, path: keys.json }] }
{{- end }}
{{- end }}
{{- with .Values.auth.certificatesSecret }}
{{- if .name }}
- name: certificates
  secret: { secretName: {{ .name | quote }}, defaultMode: 288, items: [{ key: {{ .key | quote }}, path: certificates.toml }] }
{{- end }}
{{- end }}
- name: tmp
  emptyDir: { sizeLimit: 64Mi }
{{- end }}

{{/* kubelet's own gRPC probes do not speak TLS; the command reads the settings, so it works with it. */}}
{{- define "lockstitch.probes" -}}
{{- $plain := not (include "lockstitch.tlsSecret" .) -}}
startupProbe:
  {{- include "lockstitch.probe" (dict "plain" $plain "service" "") | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  {{- include "lockstitch.probe" (dict "plain" $plain "service" "") | nindent 2 }}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
readinessProbe:
  {{- include "lockstitch.probe" (dict "plain" $plain "service" "lockstitch.v1.CheckpointService") | nindent 2 }}
  periodSeconds: {{ ternary 2 5 $plain }}
  timeoutSeconds: 5
  failureThreshold: 1
{{- end }}

{{- define "lockstitch.probe" -}}
{{- if .plain -}}
grpc: { port: 50051{{ with .service }}, service: {{ . }}{{ end }} }
{{- else if .service -}}
exec: { command: [lockstitch, health, --local, --service, {{ .service }}] }
{{- else -}}
exec: { command: [lockstitch, health, --local] }
{{- end -}}
{{- end }}

{{/* The pod of the server, for the Deployment and for the StatefulSet. */}}
{{- define "lockstitch.pod" -}}
metadata:
  labels:
    {{- include "lockstitch.labels" . | nindent 4 }}
    app.kubernetes.io/component: server
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/settings: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "lockstitch.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add .Values.drain.delaySeconds .Values.drain.seconds 10 }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext: {{- include "lockstitch.podSecurity" . | nindent 4 }}
  {{- if and (eq .Values.store.kind "postgres") (eq .Values.migrate.by "initContainer") }}
  initContainers:
    - name: migrate
      image: {{ include "lockstitch.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [migrate]
      env: {{- include "lockstitch.env" . | nindent 8 }}
      securityContext: {{- include "lockstitch.containerSecurity" . | nindent 8 }}
      volumeMounts: {{- include "lockstitch.mounts" . | nindent 8 }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
  {{- end }}
  containers:
    - name: lockstitch
      image: {{ include "lockstitch.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env:
        {{- include "lockstitch.env" . | nindent 8 }}
        {{- with .Values.env }}{{ toYaml . | nindent 8 }}{{ end }}
      ports:
        - { name: grpc, containerPort: 50051 }
        {{- if .Values.metrics.enabled }}
        - { name: metrics, containerPort: {{ .Values.metrics.port }} }
        {{- end }}
      {{- include "lockstitch.probes" . | nindent 6 }}
      securityContext: {{- include "lockstitch.containerSecurity" . | nindent 8 }}
      volumeMounts: {{- include "lockstitch.mounts" . | nindent 8 }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector: { matchLabels: {{ include "lockstitch.selector" $ | fromYaml | merge (dict "app.kubernetes.io/component" "server") | toJson }} }
    {{- end }}
    {{- end }}
  volumes: {{- include "lockstitch.volumes" . | nindent 4 }}
    {{- if eq .Values.store.kind "postgres" }}
    - name: data
      emptyDir: { sizeLimit: 64Mi }
    {{- end }}
{{- end }}
