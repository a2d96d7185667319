package scene

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

var listen = fmt.Sprintf(":%d", port)

// tree is a JSON object.
type tree = map[string]any

// namespaceObject is a namespace in which only pods of the Restricted Pod Security Standard run.
func namespaceObject(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: tree{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": tree{"name": name, "labels": tree{"pod-security.kubernetes.io/enforce": "restricted"}},
	}}
}

// server is a Deployment of one pod and the Service before it.
func server(namespace, name, image string, args ...string) []*unstructured.Unstructured {
	metadata := tree{"name": name, "namespace": namespace, "labels": labels(name)}
	deployment := tree{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
		"spec": tree{
			"replicas": int64(1),
			"strategy": tree{"type": "Recreate"},
			"selector": tree{"matchLabels": labels(name)},
			"template": tree{"metadata": tree{"labels": labels(name)}, "spec": podSpec(name, image, args)},
		},
	}
	service := tree{
		"apiVersion": "v1", "kind": "Service", "metadata": metadata,
		"spec": tree{"selector": labels(name), "ports": []any{tree{"name": "http", "port": int64(port), "protocol": "TCP"}}},
	}
	return []*unstructured.Unstructured{{Object: deployment}, {Object: service}}
}

func labels(name string) tree { return tree{"app.kubernetes.io/name": name} }

func podSpec(name, image string, args []string) tree {
	return tree{
		"automountServiceAccountToken":  false,
		"enableServiceLinks":            false,
		"terminationGracePeriodSeconds": int64(1),
		"securityContext":               tree{"runAsNonRoot": true, "fsGroup": int64(10001), "seccompProfile": tree{"type": "RuntimeDefault"}},
		"volumes":                       []any{tree{"name": "data", "emptyDir": tree{"sizeLimit": "1Gi"}}},
		"containers":                    []any{container(name, image, args)},
	}
}

func container(name, image string, args []string) tree {
	var list []any
	for _, arg := range args {
		list = append(list, arg)
	}
	return tree{
		"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "args": list,
		"env":   []any{tree{"name": "HOME", "value": "/data"}, tree{"name": "TMPDIR", "value": "/data"}},
		"ports": []any{tree{"containerPort": int64(port), "protocol": "TCP"}},
		"readinessProbe": tree{
			"httpGet": tree{"path": "/-/healthz", "port": int64(port)}, "periodSeconds": int64(1),
		},
		"securityContext": tree{
			"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": tree{"drop": []any{"ALL"}},
		},
		"resources":    tree{"requests": tree{"cpu": "10m", "memory": "32Mi"}, "limits": tree{"memory": "512Mi"}},
		"volumeMounts": []any{tree{"name": "data", "mountPath": "/data"}},
	}
}

// toUnstructured is an object without its status and without what nobody set, as server-side apply wants it.
func toUnstructured(c client.Client, o client.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", o.GetName(), err)
	}
	kind, err := apiutil.GVKForObject(o, c.Scheme())
	if err != nil {
		return nil, fmt.Errorf("find the Kind of %s: %w", o.GetName(), err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(kind)
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return u, nil
}
