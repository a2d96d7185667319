// Package redteam tries, on a real cluster, what people of a namespace, and whoever takes over one of our programs, would try: what the admission policies
// are there to refuse, and what they must let pass. What a hostile agent tries is in test/e2e (TestI2..., TestI3...), where there are sandboxes; what a
// hostile provider or caller tries is beside the gateway's code, in internal/gateway.
package redteam

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/test/cluster"
)

// settleTime is how long the API server may take to act on roles and pods that have just been made.
const settleTime = 10 * time.Second

// attempt is something that somebody tries.
type attempt struct {
	by   who
	does deed
	// want is "<policy>: <beginning of its message>"; empty when the attempt must pass.
	want string
}

// deed is what is tried. Nothing of it is stored.
type deed func(*actor) error

// actor is somebody at a place.
type actor struct {
	*place
	context.Context
	client client.Client
	rest   rest.Interface
}

// tryAll makes every attempt and looks at what becomes of it.
func tryAll(t *testing.T, p *place, attempts map[string]attempt) {
	t.Helper()
	for name, a := range attempts {
		t.Run(name, func(t *testing.T) {
			actor := p.actor(t, a.by)
			problem := mismatch(a.does(actor), a.want)
			for end := time.Now().Add(settleTime); problem != "" && time.Now().Before(end); problem = mismatch(a.does(actor), a.want) {
				time.Sleep(100 * time.Millisecond)
			}
			if problem != "" {
				t.Errorf("%s: %s", a.by, problem)
			}
		})
	}
}

// mismatch says what is wrong with an outcome; empty when nothing is.
func mismatch(err error, want string) string {
	if want == "" {
		if err != nil {
			return fmt.Sprintf("must pass, but: %v", err)
		}
		return ""
	}
	policy, message, _ := strings.Cut(want, ": ")
	switch {
	case err == nil:
		return "must be refused, but passes"
	case !apierrors.IsForbidden(err):
		return fmt.Sprintf("must be Forbidden, but: %v", err)
	case !strings.Contains(err.Error(), fmt.Sprintf("with binding '%s' denied request: %s", policy, message)):
		return fmt.Sprintf("must be refused by %s with %q, but: %v", policy, message, err)
	}
	return ""
}

// actor is a client for somebody.
func (p *place) actor(t *testing.T, by who) *actor {
	t.Helper()
	config := rest.CopyConfig(p.config)
	config.Impersonate = p.identity(by)
	c, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &actor{place: p, Context: t.Context(), client: client.NewDryRunClient(c), rest: clientset.CoreV1().RESTClient()}
}

// create makes an object, in the namespace of the place where none is named.
func create(object func(*place) client.Object) deed {
	return func(a *actor) error {
		o := object(a.place)
		if namespaced, err := a.client.IsObjectNamespaced(o); err != nil {
			return err
		} else if namespaced && o.GetNamespace() == "" {
			o.SetNamespace(a.namespace)
		}
		return a.client.Create(a, o)
	}
}

// patch merges a change into an object of the place, or into one of its subresources. Objects without a namespace have the place's name.
func patch(o client.Object, change tree, subresource ...string) deed {
	return patchAs(types.MergePatchType, o, change, subresource...)
}

// strategic changes entries of lists in a pod.
func strategic(pod string, change tree, subresource ...string) deed {
	return patchAs(types.StrategicMergePatchType, podNamed(pod), change, subresource...)
}

func patchAs(kind types.PatchType, o client.Object, change tree, subresource ...string) deed {
	return func(a *actor) error {
		o := o.DeepCopyObject().(client.Object)
		if namespaced, err := a.client.IsObjectNamespaced(o); err != nil {
			return err
		} else if namespaced {
			a.settle(o)
		} else {
			o.SetName(a.namespace)
		}
		content, err := json.Marshal(change)
		if err != nil {
			return err
		}
		merge := client.RawPatch(kind, content)
		if len(subresource) > 0 {
			return a.client.SubResource(subresource[0]).Patch(a, o, merge)
		}
		return a.client.Patch(a, o, merge)
	}
}

// remove deletes an object of the place.
func remove(o client.Object) deed {
	return func(a *actor) error {
		o := o.DeepCopyObject().(client.Object)
		a.settle(o)
		return a.client.Delete(a, o)
	}
}

// settle puts an object into the namespace of the place, unless it is one of the programs.
func (p *place) settle(o client.Object) {
	if o.GetNamespace() != v1alpha1.NamespaceSystem {
		o.SetNamespace(p.namespace)
	}
}

// requestToken asks for a token of the ServiceAccount that sandboxes run as, bound to the sandbox.
func requestToken(audiences ...string) deed {
	return func(a *actor) error {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "default"}}
		return a.client.SubResource("token").Create(a, account, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			Audiences: audiences, BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: sandboxName, UID: a.sandbox.UID},
		}})
	}
}

// connect asks to enter a pod, and comes no further than admission: no container runs.
func connect(pod, subresource string) deed {
	return func(a *actor) error {
		err := a.rest.Post().Namespace(a.namespace).Resource("pods").Name(pod).SubResource(subresource).
			Param("container", "agent").Param("command", "ls").Param("stdout", "true").Param("ports", "4141").Do(a).Error()
		if apierrors.IsForbidden(err) {
			return err
		}
		return nil
	}
}

// debug adds an ephemeral container to a pod.
func debug(pod string) deed {
	return strategic(pod, tree{"spec": tree{"ephemeralContainers": []tree{{"name": "debug", "image": "registry.example/debug:1", "securityContext": restricted}}}},
		"ephemeralcontainers")
}

// tree is a part of an object.
type tree = map[string]any

var restricted = tree{
	"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": tree{"drop": []string{"ALL"}}, "seccompProfile": tree{"type": "RuntimeDefault"},
}
