{{- define "tallybook.name" -}}
{{- contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "tallybook.selector" -}}
app.kubernetes.io/name: tallybook
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tallybook.labels" -}}
{{ include "tallybook.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* What every pod is: no root, no rights, no token of the cluster, nothing written outside its volumes. */}}
{{- define "tallybook.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- if and (eq .component "ingest") .root.Values.ingest.migrateConnections }}
  sysctls: [{ name: net.ipv4.tcp_migrate_req, value: "1" }]
{{- end }}
{{- end }}

{{- define "tallybook.container" -}}
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{/* Settings of all pods. A name of the user's that the chart sets itself would be there twice, and is refused. */}}
{{- define "tallybook.environment" -}}
{{- $fixed := list "TALLYBOOK_DATA_DIR" "TALLYBOOK_HOST" "TALLYBOOK_PORT" "TALLYBOOK_METRICS_HOST" "TALLYBOOK_METRICS_PORT" "TALLYBOOK_LOG_FORMAT" "TALLYBOOK_WORKERS" "TALLYBOOK_TRUSTED_PROXIES" }}
{{- range $name, $value := .Values.settings }}
{{- if or (has $name $fixed) (regexMatch "^TALLYBOOK_(REDIS|DATABASE|CLICKHOUSE|LOG)_URL(_FILE)?$" $name) }}
{{- fail (printf "settings.%s: the chart sets it by values of its own, see values.yaml" $name) }}
{{- end }}
{{- if not (hasPrefix "TALLYBOOK_" $name) }}
{{- fail (printf "settings.%s: names begin with TALLYBOOK_, see docs/configuration.md" $name) }}
{{- end }}
- { name: {{ $name }}, value: {{ $value | toString | quote }} }
{{- end }}
- { name: TALLYBOOK_DATA_DIR, value: /data }
- { name: TALLYBOOK_HOST, value: 0.0.0.0 }
- { name: TALLYBOOK_PORT, value: "8080" }
- { name: TALLYBOOK_METRICS_HOST, value: 0.0.0.0 }
- { name: TALLYBOOK_METRICS_PORT, value: "9464" }
- { name: TALLYBOOK_LOG_FORMAT, value: json }
{{- end }}

{{/* The store of who owns the schema: migrations, and the aggregator, which makes and drops partitions. */}}
{{- define "tallybook.owner" -}}
{{- ternary "owner" "database" (not (empty .Values.stores.owner.secret)) }}
{{- end }}

{{/* The stores of a pod as settings, `<name>=<store>`: of the files below. */}}
{{- define "tallybook.urls" -}}
{{- range list "redis" "database" }}
{{- if not (index $.root.Values.stores .).secret }}{{ fail (printf "stores.%s.secret: the service cannot do without it" .) }}{{ end }}
{{- end }}
{{- range $setting, $store := .urls }}
{{- if (index $.root.Values.stores $store).secret }}
- { name: TALLYBOOK_{{ $setting }}_URL_FILE, value: /run/stores/{{ $store }} }
{{- end }}
{{- end }}
{{- end }}

{{- define "tallybook.secrets" -}}
name: stores
projected:
  defaultMode: 0440
  sources:
{{- range $store := values .urls | sortAlpha }}
{{- with index $.root.Values.stores $store }}
{{- if .secret }}
    - secret: { name: {{ .secret }}, items: [{ key: {{ .key }}, path: {{ $store }} }] }
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tallybook.placed" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
