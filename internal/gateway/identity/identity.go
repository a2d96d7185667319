// Package identity finds out which sandbox is asking: a token proves which pod it is, and the API server knows whether that pod is the one
// that a Session runs in now.
package identity

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Caller is a sandbox that has proved which one it is. Its objects are those of the watches, and must not be changed.
type Caller struct {
	Pod     *corev1.Pod
	Session *v1alpha1.Session
	// Address is where the request came from: host and port.
	Address string
}

// Reasons for which a caller is turned away, as metrics and events name them.
const (
	ReasonToken    = "Token"    // no token, or none that is valid for the gateway
	ReasonNoPod    = "NoPod"    // a valid token that is not bound to a pod, or whose pod is gone
	ReasonNotOurs  = "NotOurs"  // the pod is no sandbox of a Session
	ReasonNotLive  = "NotLive"  // the pod is not the one that its Session runs in, or it has ended
	ReasonNotYet   = "NotYet"   // the pod is new, and its Session does not name it yet, or its own status no address
	ReasonAddress  = "Address"  // the token came from another address than the pod's
	ReasonNoAnswer = "NoAnswer" // the API server could not be asked
)

// Refused is why a caller was turned away.
type Refused struct {
	// Status is 401, or 503 where asking again helps.
	Status int
	Reason string
	// Message is for the person who reads the sandbox's log.
	Message string
	// Session is the one whose pod's token this was, as far as it is known.
	Session *v1alpha1.Session
}

// Authenticator tells sandboxes apart. All of its fields but AnyAddress are required.
type Authenticator struct {
	// Tokens reviews the token of a request, for the audiences in its context.
	Tokens authenticator.Request
	// Cache reads from watches; Live asks the API server, where a watch may be behind. What Cache has is read without a copy: nobody may change it.
	Cache, Live client.Reader
	// AnyAddress is for networks that hide from which pod a connection comes.
	AnyAddress bool
}

// Identify is the sandbox that sent a request.
func (a *Authenticator) Identify(r *http.Request) (Caller, *Refused) {
	// Without an audience in the context, tokens for the API server would be good here, and those for the gateway would not.
	asked := r.WithContext(authenticator.WithAudiences(r.Context(), authenticator.Audiences{v1alpha1.TokenAudience}))
	answer, ok, err := a.Tokens.AuthenticateRequest(asked)
	switch {
	case errors.Is(err, errUnknown):
		return Caller{}, &Refused{Status: http.StatusServiceUnavailable, Reason: ReasonNotYet, Message: "No sandbox is known at the address of the request yet; try again"}
	case unasked(err):
		return Caller{}, noAnswer(err)
	case err != nil || !ok || !slices.Contains(answer.Audiences, v1alpha1.TokenAudience):
		return Caller{}, &Refused{Status: http.StatusUnauthorized, Reason: ReasonToken, Message: "The request has no valid token of a sandbox for the gateway"}
	}
	key, uid, bound := boundPod(answer.User)
	if !bound {
		return Caller{}, &Refused{Status: http.StatusUnauthorized, Reason: ReasonNoPod, Message: "The token is not bound to a pod"}
	}
	return a.known(r.Context(), key, uid, r.RemoteAddr)
}

// Again says whether a sandbox that proved which one it is may still act for its Session, and knows it as it is now.
func (a *Authenticator) Again(ctx context.Context, before Caller) (Caller, *Refused) {
	return a.known(ctx, client.ObjectKeyFromObject(before.Pod), string(before.Pod.UID), before.Address)
}

// known looks at what the watches say of a pod, and asks the API server where that speaks against it: they may not have got there yet.
func (a *Authenticator) known(ctx context.Context, key client.ObjectKey, uid, address string) (Caller, *Refused) {
	caller, refused := a.caller(ctx, a.Cache, key, uid, address)
	if refused != nil && refused.Reason != ReasonNoAnswer {
		return a.caller(ctx, a.Live, key, uid, address)
	}
	return caller, refused
}

// unasked tells an API server that did not answer from one that did not like the token: about the latter, reviewers say no more than a text.
func unasked(err error) bool {
	flat := []error{err}
	if list, ok := err.(utilerrors.Aggregate); ok { //nolint:errorlint // an aggregate is never wrapped, and hides what it holds from errors.As
		flat = utilerrors.Flatten(list).Errors()
	}
	return slices.ContainsFunc(flat, func(err error) bool {
		var status apierrors.APIStatus
		var network net.Error
		return errors.As(err, &status) || errors.As(err, &network) || errors.Is(err, context.Canceled)
	})
}

// boundPod is the pod that a token was issued for.
func boundPod(u user.Info) (client.ObjectKey, string, bool) {
	namespace, _, err := serviceaccount.SplitUsername(u.GetName())
	if err != nil {
		return client.ObjectKey{}, "", false
	}
	names, uids := u.GetExtra()[serviceaccount.PodNameKey], u.GetExtra()[serviceaccount.PodUIDKey]
	if len(names) != 1 || len(uids) != 1 || names[0] == "" || uids[0] == "" {
		return client.ObjectKey{}, "", false
	}
	return client.ObjectKey{Namespace: namespace, Name: names[0]}, uids[0], true
}

// caller looks at the pod of a token, and at the Session that it is said to be of.
func (a *Authenticator) caller(ctx context.Context, reader client.Reader, key client.ObjectKey, uid, address string) (Caller, *Refused) {
	pod := &corev1.Pod{}
	if err := reader.Get(ctx, key, pod, client.UnsafeDisableDeepCopy); apierrors.IsNotFound(err) || (err == nil && string(pod.UID) != uid) {
		return Caller{}, turnedAway(ReasonNoPod, nil, "The pod of the token does not exist any more")
	} else if err != nil {
		return Caller{}, noAnswer(err)
	}
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.APIVersion != v1alpha1.GroupVersion.String() || owner.Kind != "Session" {
		return Caller{}, turnedAway(ReasonNotOurs, nil, "The pod is no sandbox of a Session")
	}
	session := &v1alpha1.Session{}
	if err := reader.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: owner.Name}, session, client.UnsafeDisableDeepCopy); apierrors.IsNotFound(err) || (err == nil && session.UID != owner.UID) {
		return Caller{}, turnedAway(ReasonNotOurs, nil, "The Session of the pod does not exist any more")
	} else if err != nil {
		return Caller{}, noAnswer(err)
	}
	return Caller{Pod: pod, Session: session, Address: address}, a.check(pod, session, address)
}

// check says why a pod must not act for its Session now, or nil.
func (a *Authenticator) check(pod *corev1.Pod, session *v1alpha1.Session, address string) *Refused {
	switch {
	case !pod.DeletionTimestamp.IsZero() || (pod.Status.Phase != corev1.PodPending && pod.Status.Phase != corev1.PodRunning):
		return turnedAway(ReasonNotLive, session, "The pod has ended, or is ending")
	case session.Status.PodUID == "":
		return &Refused{Status: http.StatusServiceUnavailable, Reason: ReasonNotYet, Session: session, Message: "The Session does not know its pod yet; try again"}
	case session.Status.PodUID != string(pod.UID):
		return turnedAway(ReasonNotLive, session, "The Session runs in another pod")
	case !a.AnyAddress && len(pod.Status.PodIPs) == 0:
		return &Refused{Status: http.StatusServiceUnavailable, Reason: ReasonNotYet, Session: session, Message: "The address of the pod is not known yet; try again"}
	case !a.AnyAddress && !fromPod(pod, address):
		return turnedAway(ReasonAddress, session, "The request does not come from the address of the pod whose token it carries")
	}
	return nil
}

func fromPod(pod *corev1.Pod, address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && slices.ContainsFunc(pod.Status.PodIPs, func(p corev1.PodIP) bool { return ip.Equal(net.ParseIP(p.IP)) })
}

func turnedAway(reason string, session *v1alpha1.Session, message string) *Refused {
	return &Refused{Status: http.StatusUnauthorized, Reason: reason, Session: session, Message: message}
}

func noAnswer(err error) *Refused {
	message := "The API server does not answer; try again"
	if errors.Is(err, context.DeadlineExceeded) {
		message = "The API server does not answer in time; try again"
	}
	return &Refused{Status: http.StatusServiceUnavailable, Reason: ReasonNoAnswer, Message: message}
}

// RetryAfter is how long to wait before asking again, where that helps.
const RetryAfter = time.Second

// Error makes a refusal an error for logs.
func (r *Refused) Error() string { return fmt.Sprintf("%s: %s", r.Reason, r.Message) }
