{{/* What every pod and container of the chart has in common: the restricted Pod Security standard, and more. */}}
{{- define "articula.pod" -}}
serviceAccountName: {{ include "articula.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false # they would become ARTICULA_... variables
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "articula.container" -}}
imagePullPolicy: IfNotPresent
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{/* Where a pod may run, of values with these keys: (list root values component) */}}
{{- define "articula.placement" -}}
{{- $values := index . 1 -}}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{/* Spread over zones and machines where there are any: selector labels */}}
{{- define "articula.spread" -}}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* Name of the Secret with a component's certificate: (list root component) */}}
{{- define "articula.tlsSecret" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- if eq $root.Values.tls.mode "secrets" -}}
{{- index $root.Values.tls.secrets $component | required (printf "tls.secrets.%s: name the Secret with tls.crt, tls.key and ca.crt" $component) -}}
{{- else -}}{{ include "articula.name" $root }}-{{ $component }}-tls{{- end -}}
{{- end }}

{{- define "articula.tlsVolume" -}}
- name: tls
  secret: { secretName: {{ include "articula.tlsSecret" . }}, defaultMode: 0440 }
{{- end }}

{{- define "articula.logKey" -}}
- name: ARTICULA_LOG_KEY
  valueFrom: { secretKeyRef: { name: {{ .Values.existingSecret }}, key: log-key } }
- name: ARTICULA_LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- if ne .Values.tls.mode "none" }}
- name: ARTICULA_TLS_FOLDER
  value: /run/tls
{{- end }}
{{- end }}
