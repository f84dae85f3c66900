{{/* How models come to the pods: copied once before the start, or mounted. Nothing is polled. */}}

{{/* A pool's resources with its GPU, where it has one: a pool */}}
{{- define "articula.pool.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if .gpu -}}
{{- $_ := set $resources "limits" (set (default dict $resources.limits) .resource .count) -}}
{{- end -}}
{{- toJson $resources -}}
{{- end }}

{{/* What a GPU pod reads from is made from the same models as the CPU's: engines, or the ONNX files with the GPU's backend. */}}
{{- define "articula.models.profile" -}}
- name: profile
  image: {{ include "articula.image" (list . .Values.engineBuild.image) }}
  {{- include "articula.container" . | nindent 2 }}
  command: [/opt/articula/venv/bin/python, -m, tools.model_repository, --profile, onnx, --repository, /models, --out, /served]
  resources: { requests: { cpu: 100m, memory: 256Mi, ephemeral-storage: 100Mi }, limits: { memory: 1Gi, ephemeral-storage: 1Gi } }
  volumeMounts:
    - { name: models, mountPath: /models, readOnly: true }
    - { name: served, mountPath: /served }
{{- end }}

{{- define "articula.models.volume" -}}
{{- if eq .Values.models.source "pvc" -}}
- { name: models, persistentVolumeClaim: { claimName: {{ .Values.models.pvc.claimName }}, readOnly: true } }
{{- else -}}
- { name: models, emptyDir: { sizeLimit: {{ .Values.models.size }} } }
{{- end }}
{{- end }}

{{/* The port of the store: what its address says, else that of its scheme. */}}
{{- define "articula.models.s3Port" -}}
{{- $url := urlParse .Values.models.s3.endpoint -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end }}

{{- define "articula.models.copy" -}}
- name: models
  {{- if eq .Values.models.source "s3" }}
  image: {{ include "articula.image" (list . .Values.models.s3.image) }}
  command: [aws, s3, sync, --only-show-errors, --delete, {{ .Values.models.s3.uri | quote }}, /target]
  env:
    - { name: HOME, value: /tmp }
    - { name: AWS_DEFAULT_REGION, value: {{ .Values.models.s3.region }} }
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

{{/*
Puts the engines for one kind of GPU into the cache, and with "serve" also where Triton reads them: (list root pool serve).
The set's name is its key, so what fits is found whatever else lies there; what does not fit is built, or refused where
nothing may be built. The pod holds its GPU already and builds for itself where the Job did not: a rollout needs no spare
one. Served is a copy, so nothing that happens to the cache can touch a running server.
*/}}
{{- define "articula.engines" -}}
{{- $root := index . 0 -}}{{- $pool := index . 1 -}}{{- $serve := index . 2 -}}
{{- $build := $root.Values.engineBuild -}}
{{- $args := list "--repository" "/models" "--cache" "/engines" "--target" $pool.computeCapability "--precision" $build.precision -}}
{{- if $serve }}{{ $args = concat $args (list "--out" "/served") }}{{ end -}}
{{- if not $build.enabled }}{{ $args = append $args "--no-build" }}{{ end -}}
- name: engines
  image: {{ include "articula.image" (list $root $build.image) }}
  {{- include "articula.container" $root | nindent 2 }}
  args: {{ toJson $args }}
  resources: {{ include "articula.pool.resources" (set (deepCopy $pool) "resources" $build.resources) }}
  volumeMounts:
    - { name: models, mountPath: /models, readOnly: true }
    - { name: engines, mountPath: /engines, readOnly: {{ not $build.enabled }} }
    {{- if $serve }}
    - { name: served, mountPath: /served }
    {{- end }}
    - { name: temporary, mountPath: /tmp }
{{- end }}
