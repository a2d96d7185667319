package apiserver

import (
	"context"
	"errors"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{authenticationv1.AddToScheme, corev1.AddToScheme, v1alpha1.AddToScheme} {
		utilruntime.Must(add(s))
	}
	return s
}()

// started is a server with some objects, and a client that asks it.
func started(t *testing.T, objects ...client.Object) (*Server, *rest.Config, client.Client) {
	t.Helper()
	s, err := Start(t.Context(), scheme)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Put(objects...); err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{Host: s.URL(), ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON}}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return s, config, c
}

// use adds to the usage of a Session as the gateway does.
func use(ctx context.Context, c client.Client, s *v1alpha1.Session, requests int64) error {
	apply := applyv1alpha1.Session(s.Name, s.Namespace).WithUID(s.UID).WithResourceVersion(s.ResourceVersion).
		WithStatus(applyv1alpha1.SessionStatus().WithUsage(applyv1alpha1.Usage().WithRequests(requests)))
	return c.Status().Apply(ctx, apply, client.FieldOwner(v1alpha1.FieldOwnerGateway), client.ForceOwnership)
}

func TestAStatusIsWrittenForTheVersionThatItWasMadeFrom(t *testing.T) {
	_, _, c := started(t, build.Session("fix-login").Obj())
	session := &v1alpha1.Session{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: build.Namespace, Name: "fix-login"}, session); err != nil {
		t.Fatal(err)
	}
	if err := use(t.Context(), c, session, 1); err != nil {
		t.Fatal(err)
	}
	if err := use(t.Context(), c, session, 2); !apierrors.IsConflict(err) {
		t.Errorf("a second write for the same version: %v", err)
	}
	other := session.DeepCopy()
	other.Name = "nobody"
	if err := use(t.Context(), c, other, 2); !apierrors.IsNotFound(err) {
		t.Errorf("a write of what does not exist: %v", err)
	}
}

func TestCachesSeeWhatIsThereAndWhatIsWritten(t *testing.T) {
	_, config, c := started(t, build.Session("fix-login").Obj(), build.Session("other").Obj(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: build.Namespace}})
	watched, err := cache.New(config, cache.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = watched.Start(ctx) }()
	defer func() { cancel(); <-ended }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var notStarted *cache.ErrCacheNotStarted
		if err := watched.Get(t.Context(), client.ObjectKey{Name: build.Namespace}, &corev1.Namespace{}); err == nil {
			break
		} else if !errors.As(err, &notStarted) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	list := &v1alpha1.SessionList{}
	if err := watched.List(t.Context(), list); err != nil || len(list.Items) != 2 {
		t.Fatalf("%d Sessions, error %v", len(list.Items), err)
	}
	session := &list.Items[0]
	if err := use(t.Context(), c, session, 7); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); session.Status.Usage == nil || *session.Status.Usage.Requests != 7; time.Sleep(10 * time.Millisecond) {
		if err := watched.Get(t.Context(), client.ObjectKeyFromObject(session), session); err != nil || time.Now().After(deadline) {
			t.Fatalf("the write does not come: %v", err)
		}
	}
}

func TestTokensAreThoseOfTheirPods(t *testing.T) {
	s, _, c := started(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: build.Namespace, Name: "fix-login-1", UID: "uid-of-pod"}}
	s.Bind("token", pod)
	for token, want := range map[string]string{"token": "system:serviceaccount:" + build.Namespace + ":default", "another": ""} {
		review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
		if err := c.Create(t.Context(), review); err != nil {
			t.Fatal(err)
		}
		if got := review.Status; got.User.Username != want || got.Authenticated != (want != "") {
			t.Errorf("%s: %+v", token, got)
		}
	}
}
