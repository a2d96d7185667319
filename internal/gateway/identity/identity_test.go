package identity

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

const podAddress = "10.1.2.3"

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}()

// world is what the API server has: a live sandbox, unless a test changes it.
type world struct {
	pod     *corev1.Pod
	session *v1alpha1.Session
}

func sandbox() world {
	session := build.Session("fix-login").With(func(s *v1alpha1.Session) { s.Status.PodUID = "uid-of-pod" }).Obj()
	return world{
		session: session,
		pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, Name: "fix-login-1", UID: "uid-of-pod", OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind("Session")),
			}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: podAddress}, {IP: "fd00::3"}}},
		},
	}
}

func (w world) reader() client.Reader {
	b := fake.NewClientBuilder().WithScheme(scheme)
	if w.pod != nil {
		b.WithObjects(w.pod)
	}
	if w.session != nil {
		b.WithObjects(w.session)
	}
	return b.Build()
}

// changed is the sandbox after a change of its pod or its Session.
func changed(change func(*world)) world {
	w := sandbox()
	change(&w)
	return w
}

func pod(change func(*corev1.Pod)) world { return changed(func(w *world) { change(w.pod) }) }

func session(change func(*v1alpha1.Session)) world {
	return changed(func(w *world) { change(w.session) })
}

// token is what the API server says of a token.
type token struct {
	name      string
	audience  string
	pods, uid []string
	err       error
}

func good() token {
	return token{name: "system:serviceaccount:" + build.Namespace + ":default", audience: v1alpha1.TokenAudience, pods: []string{"fix-login-1"}, uid: []string{"uid-of-pod"}}
}

func tokenWith(change func(*token)) token {
	t := good()
	change(&t)
	return t
}

// AuthenticateRequest reviews as the API server does: for the audiences that it is asked about, or else for its own.
func (t token) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if t.err != nil {
		return nil, false, t.err
	}
	asked, limited := authenticator.AudiencesFrom(r.Context())
	if !limited {
		asked = authenticator.Audiences{"https://kubernetes.default.svc"}
	}
	auds := asked.Intersect(authenticator.Audiences{t.audience})
	if r.Header.Get("Authorization") == "" || len(auds) == 0 {
		return nil, false, nil
	}
	if !limited {
		auds = nil
	}
	u := &user.DefaultInfo{Name: t.name, Extra: map[string][]string{serviceaccount.PodNameKey: t.pods, serviceaccount.PodUIDKey: t.uid}}
	return &authenticator.Response{User: u, Audiences: auds}, true, nil
}

func request(address string, authorized bool) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1alpha1/session/heartbeat", nil)
	r.RemoteAddr = address
	if authorized {
		r.Header.Set("Authorization", "Bearer token")
	}
	return r
}

// verdict is what a caller is told; the zero value is that it may come in.
type verdict struct {
	Status          int
	Reason, Session string
}

func turned(status int, reason string) verdict { return verdict{status, reason, ""} }

// known is the verdict on a caller whose Session is known, so that it can be told.
func known(status int, reason string) verdict { return verdict{status, reason, "fix-login"} }

type situation struct {
	token   token
	live    world
	address string
	any     bool
	want    verdict
}

// tokens are situations that differ in the token.
func tokens() map[string]situation {
	w := sandbox()
	return map[string]situation{
		"a live sandbox":                         {token: good(), live: w},
		"a token for the API server":             {token: tokenWith(func(t *token) { t.audience = "https://kubernetes.default.svc" }), live: w, want: turned(401, ReasonToken)},
		"a token for somebody else":              {token: tokenWith(func(t *token) { t.audience = "vault" }), live: w, want: turned(401, ReasonToken)},
		"a token that has expired":               {token: token{err: errors.New("token has expired")}, live: w, want: turned(401, ReasonToken)},
		"a token of a user":                      {token: tokenWith(func(t *token) { t.name = "dev@acme.example" }), live: w, want: turned(401, ReasonNoPod)},
		"a token of a node":                      {token: tokenWith(func(t *token) { t.name = "system:node:a" }), live: w, want: turned(401, ReasonNoPod)},
		"a token that is bound to no pod":        {token: tokenWith(func(t *token) { t.pods, t.uid = nil, nil }), live: w, want: turned(401, ReasonNoPod)},
		"a token that is bound to a name only":   {token: tokenWith(func(t *token) { t.uid = nil }), live: w, want: turned(401, ReasonNoPod)},
		"a token that names two pods":            {token: tokenWith(func(t *token) { t.pods = append(t.pods, "x") }), live: w, want: turned(401, ReasonNoPod)},
		"a token of a pod of another namespace":  {token: tokenWith(func(t *token) { t.name = "system:serviceaccount:team-b:default" }), live: w, want: turned(401, ReasonNoPod)},
		"a token of a pod of the same name":      {token: tokenWith(func(t *token) { t.uid = []string{"uid-before"} }), live: w, want: turned(401, ReasonNoPod)},
		"an API server that refuses the gateway": {token: token{err: apierrors.NewForbidden(corev1.Resource("tokenreviews"), "", errors.New("no"))}, live: w, want: turned(503, ReasonNoAnswer)},
		"an API server that does not answer":     {token: token{err: utilerrors.NewAggregate([]error{&url.Error{Op: "Post", Err: &net.OpError{Op: "dial"}}})}, live: w, want: turned(503, ReasonNoAnswer)},
		"an API server that is slow":             {token: token{err: context.DeadlineExceeded}, live: w, want: turned(503, ReasonNoAnswer)},
	}
}

// pods are situations that differ in the pod.
func pods() map[string]situation {
	phase := func(p corev1.PodPhase) world { return pod(func(o *corev1.Pod) { o.Status.Phase = p }) }
	owner := func(change func(*metav1.OwnerReference)) world {
		return pod(func(o *corev1.Pod) { change(&o.OwnerReferences[0]) })
	}
	ours := turned(401, ReasonNotOurs)
	return map[string]situation{
		"a pod that is gone":       {live: changed(func(w *world) { w.pod = nil }), want: turned(401, ReasonNoPod)},
		"a pod that was made anew": {live: pod(func(o *corev1.Pod) { o.UID = "uid-after" }), want: turned(401, ReasonNoPod)},
		"a pod of nobody, with our labels": {live: pod(func(o *corev1.Pod) {
			o.OwnerReferences, o.Labels = nil, map[string]string{v1alpha1.LabelSession: "fix-login"}
		}), want: ours},
		"a pod of a Job":                          {live: owner(func(r *metav1.OwnerReference) { r.APIVersion, r.Kind = "batch/v1", "Job" }), want: ours},
		"a pod of a Session of another group":     {live: owner(func(r *metav1.OwnerReference) { r.APIVersion = "evil.example/v1alpha1" }), want: ours},
		"a pod that a Session owns, not controls": {live: owner(func(r *metav1.OwnerReference) { r.Controller = nil }), want: ours},
		"a pod of another Session":                {live: owner(func(r *metav1.OwnerReference) { r.Name = "other" }), want: ours},
		"a pod that is pending":                   {live: phase(corev1.PodPending)},
		"a pod that has succeeded":                {live: phase(corev1.PodSucceeded), want: known(401, ReasonNotLive)},
		"a pod that has failed":                   {live: phase(corev1.PodFailed), want: known(401, ReasonNotLive)},
		"a pod that nobody knows anything of":     {live: phase(corev1.PodUnknown), want: known(401, ReasonNotLive)},
		"a pod without a phase":                   {live: phase(""), want: known(401, ReasonNotLive)},
		"a pod that is terminating": {live: pod(func(o *corev1.Pod) {
			o.DeletionTimestamp, o.Finalizers = new(metav1.NewTime(time.Unix(1, 0))), []string{build.Finalizer}
		}), want: known(401, ReasonNotLive)},
		"a pod whose address is not known yet": {live: pod(func(o *corev1.Pod) { o.Status.PodIPs = nil }), want: known(503, ReasonNotYet)},
	}
}

// sessions are situations that differ in the Session, and where the request comes from.
func sessions() map[string]situation {
	w := sandbox()
	podUID := func(uid string) world {
		return session(func(s *v1alpha1.Session) { s.Status.PodUID = uid })
	}
	return map[string]situation{
		"a Session that is gone":                    {live: changed(func(w *world) { w.session = nil }), want: turned(401, ReasonNotOurs)},
		"a Session that was made anew":              {live: session(func(s *v1alpha1.Session) { s.UID = types.UID("uid-after") }), want: turned(401, ReasonNotOurs)},
		"a Session that does not name its pod yet":  {live: podUID(""), want: known(503, ReasonNotYet)},
		"a Session that runs in another pod":        {live: podUID("uid-of-next"), want: known(401, ReasonNotLive)},
		"another address":                           {live: w, address: "10.1.2.4:555", want: known(401, ReasonAddress)},
		"the beginning of the address":              {live: w, address: "10.1.2.33:555", want: known(401, ReasonAddress)},
		"the loopback of the gateway":               {live: w, address: "127.0.0.1:555", want: known(401, ReasonAddress)},
		"no address":                                {live: w, address: "@", want: known(401, ReasonAddress)},
		"its IPv6 address":                          {live: w, address: "[fd00::3]:555"},
		"its IPv4 address, as IPv6":                 {live: w, address: "[::ffff:10.1.2.3]:555"},
		"another address, where networks hide them": {live: w, address: "10.1.2.4:555", any: true},
		"no address yet, where networks hide them":  {live: pod(func(o *corev1.Pod) { o.Status.PodIPs = nil }), any: true},
		"another pod, where networks hide them":     {live: podUID("uid-of-next"), any: true, want: known(401, ReasonNotLive)},
	}
}

func identify(a *Authenticator, r *http.Request) verdict {
	caller, refused := a.Identify(r)
	if refused == nil {
		if caller.Pod.UID != "uid-of-pod" || caller.Session.Name != "fix-login" {
			return verdict{Reason: "the wrong caller"}
		}
		return verdict{}
	}
	v := verdict{Status: refused.Status, Reason: refused.Reason}
	if refused.Session != nil {
		v.Session = refused.Session.Name
	}
	return v
}

func TestI3OnlyTheLivePodOfASessionIsASandbox(t *testing.T) {
	for _, group := range []map[string]situation{tokens(), pods(), sessions()} {
		for name, s := range group {
			t.Run(name, func(t *testing.T) {
				if s.token.name == "" && s.token.err == nil {
					s.token = good()
				}
				if s.address == "" {
					s.address = podAddress + ":555"
				}
				a := &Authenticator{Tokens: s.token, Cache: s.live.reader(), Live: s.live.reader(), AnyAddress: s.any}
				if diff := cmp.Diff(s.want, identify(a, request(s.address, true))); diff != "" {
					t.Errorf("verdict (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestI3AReviewThatNamesNoAudienceIsNone(t *testing.T) {
	deaf := authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		answer, ok, err := good().AuthenticateRequest(r)
		answer.Audiences = nil
		return answer, ok, err
	})
	a := &Authenticator{Tokens: deaf, Cache: sandbox().reader(), Live: sandbox().reader()}
	if diff := cmp.Diff(turned(401, ReasonToken), identify(a, request(podAddress+":1", true))); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}

func TestI3NothingIsToldToWhoHasNoToken(t *testing.T) {
	a := &Authenticator{Tokens: good(), Cache: sandbox().reader(), Live: sandbox().reader(), AnyAddress: true}
	if diff := cmp.Diff(turned(401, ReasonToken), identify(a, request(podAddress+":1", false))); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}

// failing is a reader that does not answer for one Kind.
func failing(w world, kind client.Object, err error) client.Reader {
	base, ok := w.reader().(client.WithWatch)
	if !ok {
		panic("the fake client cannot watch")
	}
	return interceptor.NewClient(base, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			_, isPod := o.(*corev1.Pod)
			if _, podFails := kind.(*corev1.Pod); isPod == podFails {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
}

func TestI3TheAPIServerHasTheLastWordBeforeACallerIsTurnedAway(t *testing.T) {
	down := &url.Error{Op: "Get", Err: context.DeadlineExceeded}
	gone := world{}
	cases := map[string]struct {
		cache, live client.Reader
		want        verdict
	}{
		"the watch has not seen the pod yet":          {gone.reader(), sandbox().reader(), verdict{}},
		"the watch has not seen the pod's UID yet":    {session(func(s *v1alpha1.Session) { s.Status.PodUID = "" }).reader(), sandbox().reader(), verdict{}},
		"the watch has seen the pod of the last run":  {session(func(s *v1alpha1.Session) { s.Status.PodUID = "uid-before" }).reader(), sandbox().reader(), verdict{}},
		"the watch has not seen the address yet":      {pod(func(o *corev1.Pod) { o.Status.PodIPs = nil }).reader(), sandbox().reader(), verdict{}},
		"the watch is right":                          {gone.reader(), gone.reader(), turned(401, ReasonNoPod)},
		"the API server is down, and the watch knows": {sandbox().reader(), failing(sandbox(), &corev1.Pod{}, down), verdict{}},
		"the API server is down, at the pod":          {gone.reader(), failing(sandbox(), &corev1.Pod{}, down), turned(503, ReasonNoAnswer)},
		"the API server is down, at the Session":      {gone.reader(), failing(sandbox(), &v1alpha1.Session{}, down), turned(503, ReasonNoAnswer)},
		"the watch is broken":                         {failing(sandbox(), &corev1.Pod{}, errors.New("not started")), sandbox().reader(), turned(503, ReasonNoAnswer)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := &Authenticator{Tokens: good(), Cache: c.cache, Live: c.live}
			if diff := cmp.Diff(c.want, identify(a, request(podAddress+":555", true))); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}
