{{/* An HPA or a ScaledObject for one Deployment; both act on totals divided by replicas: (list root scaled) */}}
{{- define "articula.scaler" -}}
{{- $root := index . 0 }}{{ $s := index . 1 }}
---
{{- if eq $root.Values.autoscaling.mode "keda" }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $s.name }}
  labels: {{- include "articula.labels" (list $root $s.component) | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $s.name }} }
  pollingInterval: {{ $root.Values.autoscaling.pollSeconds }}
  cooldownPeriod: {{ $root.Values.autoscaling.scaleDown.windowSeconds }}
  minReplicaCount: {{ $s.min }}
  maxReplicaCount: {{ $s.max }}
  # no answer is no zero: keep what runs, or more
  fallback: { failureThreshold: 3, replicas: {{ max 1 (int $s.min) }}, behavior: currentReplicasIfHigher }
  advanced:
    horizontalPodAutoscalerConfig:
      behavior: {{- include "articula.behavior" $root | nindent 8 }}
  triggers:
    {{- range $s.signals }}
    - type: prometheus
      name: {{ .metric | replace "_" "-" }}
      metricType: AverageValue
      metadata:
        serverAddress: {{ $root.Values.autoscaling.prometheus }}
        threshold: {{ .target | quote }}
        ignoreNullValues: "false"
        query: |-
          {{- .query | nindent 10 }}
    {{- end }}
    {{- range $s.schedules }}
    - type: cron
      metadata:
        timezone: {{ .timezone }}
        start: {{ .start | quote }}
        end: {{ .end | quote }}
        desiredReplicas: {{ min (int .replicas) (int $s.max) | quote }}
    {{- end }}
{{- else }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $s.name }}
  labels: {{- include "articula.labels" (list $root $s.component) | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $s.name }} }
  minReplicas: {{ $s.min }}
  maxReplicas: {{ $s.max }}
  behavior: {{- include "articula.behavior" $root | nindent 4 }}
  metrics: # the recording rules of this chart, through an adapter for external metrics
    {{- range $s.signals }}
    - type: External
      external:
        metric:
          name: {{ .metric }}
          selector: { matchLabels: { release: {{ $root.Release.Name }}, pool: {{ $s.pool }} } }
        target: { type: AverageValue, averageValue: {{ .target | quote }} }
    {{- end }}
    {{- range $index, $_ := $s.schedules }}
    - type: External
      external:
        metric:
          name: articula_triton_floor
          selector: { matchLabels: { release: {{ $root.Release.Name }}, pool: {{ $s.pool }}, schedule: "{{ $index }}" } }
        target: { type: AverageValue, averageValue: "1" }
    {{- end }}
{{- end }}
{{- end }}

{{- define "articula.behavior" -}}
{{- with .Values.autoscaling -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - { type: Percent, value: {{ .scaleUp.percent }}, periodSeconds: {{ .scaleUp.periodSeconds }} }
    - { type: Pods, value: {{ .scaleUp.pods }}, periodSeconds: {{ .scaleUp.periodSeconds }} }
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDown.windowSeconds }}
  policies:
    - { type: Pods, value: {{ .scaleDown.pods }}, periodSeconds: {{ .scaleDown.periodSeconds }} }
{{- end }}
{{- end }}
