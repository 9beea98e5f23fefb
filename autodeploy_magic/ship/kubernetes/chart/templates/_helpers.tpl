{{- /* Values are written as they are: none of them is a template. */ -}}

{{- define "model.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "model.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "model.labels" -}}
{{ include "model.selector" . }}
app.kubernetes.io/version: {{ .Values.version | quote }}
app.kubernetes.io/component: model
app.kubernetes.io/part-of: autodeploy-magic
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "model.token" -}}
{{- default (printf "%s-token" (include "model.name" .)) .Values.token.secret -}}
{{- end -}}

{{- /* An image: by its digest where there is one. */ -}}
{{- define "model.image" -}}
{{- if .digest -}}
{{ printf "%s@%s" .repository .digest }}
{{- else -}}
{{ printf "%s:%s" .repository .tag }}
{{- end -}}
{{- end -}}

{{- /* The names that it answers to: its Service's, and what is said besides; "*" for any. */ -}}
{{- define "model.hosts" -}}
{{- if has "*" .Values.hosts -}}
*
{{- else -}}
{{- $name := include "model.name" . -}}
{{- $ns := printf "%s.$(POD_NAMESPACE)" $name -}}
{{- $all := list $name $ns (printf "%s.svc" $ns) (printf "%s.svc.cluster.local" $ns) -}}
{{- with .Values.route.host }}{{ $all = append $all . }}{{ end -}}
{{- join "," (concat $all .Values.hosts) -}}
{{- end -}}
{{- end -}}

{{- /* One Deployment: of the track "stable", or of "canary". */ -}}
{{- define "model.deployment" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name | quote }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "model.labels" $root | nindent 4 }}
    autodeploy-magic/track: {{ .track }}
  {{- with $values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if ge (int .replicas) 1 }}
  replicas: {{ .replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  progressDeadlineSeconds: 300
  minReadySeconds: 5
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      {{- include "model.selector" $root | nindent 6 }}
      autodeploy-magic/track: {{ .track }}
  template:
    metadata:
      labels:
        {{- include "model.labels" $root | nindent 8 }}
        autodeploy-magic/track: {{ .track }}
      {{- with merge (dict) $values.podAnnotations $values.annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "model.name" $root | quote }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $values.gracePeriodSeconds }}
      {{- with $values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "model.selector" $root | nindent 14 }}
              autodeploy-magic/track: {{ $.track }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: model
          image: {{ .image | quote }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          ports:
            - name: http
              containerPort: {{ $values.port }}
              protocol: TCP
            {{- if $values.grpc.enabled }}
            - name: grpc
              containerPort: {{ $values.grpc.port }}
              protocol: TCP
            {{- end }}
          env:
            {{- if not (has "*" $values.hosts) }}
            - name: POD_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
            {{- end }}
            - name: PORT
              value: {{ $values.port | quote }}
            - name: AUTODEPLOY_HOSTS
              value: {{ include "model.hosts" $root | quote }}
            - name: AUTODEPLOY_TOKEN_FILE
              value: /var/run/secrets/autodeploy/token
            {{- if $values.grpc.enabled }}
            - name: AUTODEPLOY_GRPC_PORT
              value: {{ $values.grpc.port | quote }}
            {{- end }}
            {{- range $name, $value := $values.env }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          startupProbe:
            httpGet:
              path: /readyz
              port: http
            periodSeconds: 1
            timeoutSeconds: 2
            failureThreshold: {{ $values.startSeconds }}
          readinessProbe:
            httpGet:
              path: /readyz
              port: http
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 2
          livenessProbe:
            httpGet:
              path: /livez
              port: http
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          lifecycle:
            preStop:
              sleep:
                seconds: {{ $values.preStopSeconds }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            runAsNonRoot: true
            runAsUser: 65532
            runAsGroup: 65532
            capabilities:
              drop: ["ALL"]
            seccompProfile:
              type: RuntimeDefault
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            - name: token
              mountPath: /var/run/secrets/autodeploy
              readOnly: true
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: {{ $values.storage.sizeLimit | quote }}
            {{- if eq $values.storage.medium "memory" }}
            medium: Memory
            {{- end }}
        - name: token
          secret:
            secretName: {{ include "model.token" $root | quote }}
            defaultMode: 0440
            items:
              - key: {{ $values.token.key | quote }}
                path: token
{{- end -}}

{{- /* The head of an object that has the chart's name. */ -}}
{{- define "model.metadata" -}}
name: {{ include "model.name" . | quote }}
namespace: {{ .Release.Namespace | quote }}
labels:
  {{- include "model.labels" . | nindent 2 }}
{{- end -}}

{{- define "model.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - type: Percent
      value: 100
      periodSeconds: 15
    - type: Pods
      value: 4
      periodSeconds: 15
scaleDown:
  stabilizationWindowSeconds: 300
  selectPolicy: Max
  policies:
    - type: Percent
      value: 50
      periodSeconds: 60
{{- end -}}
