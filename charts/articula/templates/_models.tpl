{{/* How models come to the pods: copied once before the start, or mounted. Nothing is polled. */}}

{{/* A pool's resources with its GPU, where it has one: a pool */}}
{{- define "articula.pool.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if .gpu -}}
{{- $_ := set $resources "limits" (set (default dict $resources.limits) .resource .count) -}}
{{- end -}}
{{- toJson $resources -}}
{{- end }}

{{- define "articula.models.volume" -}}
{{- if eq .Values.models.source "pvc" -}}
- { name: models, persistentVolumeClaim: { claimName: {{ .Values.models.pvc.claimName }}, readOnly: true } }
{{- else -}}
- { name: models, emptyDir: { sizeLimit: {{ .Values.models.size }} } }
{{- end }}
{{- end }}

{{- define "articula.models.copy" -}}
- name: models
  {{- if eq .Values.models.source "s3" }}
  image: {{ include "articula.image" (list . .Values.models.s3.image) }}
  command: [aws, s3, sync, --only-show-errors, --delete, {{ .Values.models.s3.uri | quote }}, /target]
  env:
    - { name: HOME, value: /tmp }
    - { name: AWS_REGION, value: {{ .Values.models.s3.region }} }
    {{- with .Values.models.s3.endpoint }}
    - { name: AWS_ENDPOINT_URL, value: {{ . | quote }} }
    {{- end }}
    {{- with .Values.models.s3.existingSecret }}
    - { name: AWS_ACCESS_KEY_ID, valueFrom: { secretKeyRef: { name: {{ . }}, key: access-key } } }
    - { name: AWS_SECRET_ACCESS_KEY, valueFrom: { secretKeyRef: { name: {{ . }}, key: secret-key } } }
    {{- end }}
  {{- else }}
  image: {{ include "articula.image" (list . .Values.models.image) }}
  command: [cp, -R, {{ printf "%s/." .Values.models.path | quote }}, /target]
  {{- end }}
  {{- include "articula.container" . | nindent 2 }}
  resources: { requests: { cpu: 100m, memory: 128Mi, ephemeral-storage: 100Mi }, limits: { memory: 512Mi, ephemeral-storage: 1Gi } }
  volumeMounts:
    - { name: models, mountPath: /target }
    - { name: temporary, mountPath: /tmp }
{{- end }}

{{/* Where the engines of one kind of GPU lie in the cache: (list root pool) */}}
{{- define "articula.engineFolder" -}}
{{ (index . 0).Values.engineBuild.precision }}-sm{{ (index . 1).computeCapability | replace "." "" }}
{{- end }}

{{/* Waits for the engines' manifest, which the build writes last, and refuses engines of another GPU: (list root pool) */}}
{{- define "articula.models.engines" -}}
{{- $root := index . 0 -}}{{- $pool := index . 1 -}}
- name: engines
  image: {{ include "articula.image" (list $root $root.Values.engineBuild.image) }}
  command:
    - /bin/sh
    - -c
    - |
{{ $root.Files.Get "files/await_engines.sh" | indent 6 }}
  args: [await_engines, /engines/{{ include "articula.engineFolder" . }}, {{ $pool.computeCapability | quote }}, {{ $root.Values.engineBuild.deadlineSeconds | quote }}]
  {{- include "articula.container" $root | nindent 2 }}
  resources: { requests: { cpu: 10m, memory: 16Mi, ephemeral-storage: 10Mi }, limits: { memory: 64Mi, ephemeral-storage: 50Mi } }
  volumeMounts:
    - { name: models, mountPath: /engines, readOnly: true }
{{- end }}
