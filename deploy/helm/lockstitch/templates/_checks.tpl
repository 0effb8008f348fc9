{{/* What the server would refuse at its start is refused before anything is installed. */}}
{{- define "lockstitch.checks" -}}
{{- $tls := include "lockstitch.tlsSecret" . -}}
{{- $auth := default dict .Values.settings.auth -}}
{{- if not .Values.insecure -}}
{{- if not $tls -}}
{{- fail "the server needs TLS: set tls.secret or tls.certManager.enabled; or insecure=true, where a mesh encrypts and authenticates" -}}
{{- end -}}
{{- if not (or .Values.tls.mutual .Values.auth.keysSecret.name $auth.jwt_issuer) -}}
{{- fail "callers must authenticate: set auth.keysSecret.name, tls.mutual or settings.auth.jwt_issuer; or insecure=true, where a mesh authenticates" -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "^[a-z+]+://[^/@:]*:[^/@]+@" .Values.store.postgres.url -}}
{{- fail "store.postgres.url has a password, which everybody who may read the Deployment sees: put it into store.postgres.passwordSecret, or the URL into store.postgres.urlSecret" -}}
{{- end -}}
{{- if .Values.settings.store -}}
{{- fail "settings.store is set by store.kind and store.postgres: a ConfigMap is no place for a URL with a password" -}}
{{- end -}}
{{- if and .Values.auth.certificatesSecret.name (not .Values.tls.mutual) -}}
{{- fail "auth.certificatesSecret needs tls.mutual=true" -}}
{{- end -}}
{{- if and .Values.tls.mutual (not $tls) -}}
{{- fail "tls.mutual needs tls.secret or tls.certManager.enabled" -}}
{{- end -}}
{{- end }}
