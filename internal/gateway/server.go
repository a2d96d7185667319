// Package gateway is the only door of sandboxes. For each request it finds out which sandbox is asking, decides by which credential it may ask,
// puts the key on, and streams the answer back, counting what it used. It parses hostile traffic from both sides, so it knows nothing that
// renews a key, and what it holds never leaves it but towards the hosts of the key's provider.
package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/access"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/duplex"
	"github.com/sandkeep/sandkeep/internal/gateway/dial"
	"github.com/sandkeep/sandkeep/internal/gateway/identity"
	"github.com/sandkeep/sandkeep/internal/gateway/ledger"
	"github.com/sandkeep/sandkeep/internal/gateway/limit"
	"github.com/sandkeep/sandkeep/internal/gateway/meter"
	"github.com/sandkeep/sandkeep/internal/gateway/pulse"
	"github.com/sandkeep/sandkeep/internal/gateway/shape"
	"github.com/sandkeep/sandkeep/internal/gateway/witness"
	"github.com/sandkeep/sandkeep/internal/keep"
)

// LeaveTime is how long a gateway that stops still takes new connections: whoever spreads them over the replicas hears a little later that it goes.
const LeaveTime = 5 * time.Second

// DrainTime is how long the streams that are under way may take to end when the gateway stops.
const DrainTime = 5 * time.Minute

// CutTime is how long those take at most that are cut then: they are still counted.
const CutTime = 5 * time.Second

// Bounds of what callers may send outside the bodies of requests to providers.
const (
	maxHeader     = 64 << 10
	maxReport     = 16 << 10
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Server is the gateway. All of its fields are required.
type Server struct {
	// Address is where sandboxes are served.
	Address string
	// Fence says whether what is seen can be trusted.
	Fence Fence
	// Identity tells sandboxes apart.
	Identity *identity.Authenticator
	// Cache reads from watches, Live from the API server. What Cache has is shared by all requests: it is read without a copy, and so never changed.
	Cache, Live client.Reader
	// Access tells what the owners of Sessions may use.
	Access access.Reviewer
	// Ledger counts.
	Ledger *ledger.Ledger
	// Pulse renews the Lease by which the age of watches is known.
	Pulse *pulse.Pulse
	// Limits keeps credentials within their limits.
	Limits *limit.Book
	// Witness tells the keeper how providers answered to keys.
	Witness *witness.Witness
	// Recorder takes the events of Sessions.
	Recorder events.EventRecorder
	// Clock is the time.
	Clock clock.WithTicker
	// Metrics counts what happened.
	Metrics *Metrics
	// Forbidden are addresses at which no provider can be, now.
	Forbidden dial.Prefixes
	// Log takes what only an admin can do something about.
	Log logr.Logger

	upstreams upstreams
	headers   headers
	buffers   buffers
	keys      keys
	streams   streams
	places    places
	troubles  troubles
	serving   atomic.Bool

	// Times other than those of the constants, for tests.
	bodyTime, leaveTime, drainTime, goneTime, revokedTime time.Duration
}

// reasonPolicyMissing is the kind of the answers that are given while the admission policies are not in force.
const reasonPolicyMissing = "PolicyMissing"

// ownPaths are those at which sandboxd speaks for itself.
var ownPaths = []string{contract.GatewayHeartbeat, contract.GatewayReport, contract.GatewayKey}

// NeedLeaderElection is false: every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends, and then lets the streams that are under way come to their end.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listen for sandboxes: %w", err)
	}
	if !s.Identity.AnyAddress { // else one address may be that of many sandboxes
		listener = &crowd{Listener: listener, refused: func() { s.Metrics.turnedAway("Connections") }}
	}
	counting, stopCounting := context.WithCancel(context.WithoutCancel(ctx))
	var counted sync.WaitGroup
	counted.Go(func() {
		s.Ledger.Run(counting, func(err error) { s.Log.Error(err, "Usage cannot be written; it is kept and tried again") })
	})
	counted.Go(func() {
		s.Limits.Run(counting, func(err error) {
			s.Log.Error(err, "Other replicas cannot be told of what is limited; it is kept and tried again")
		})
	})
	counted.Go(func() {
		s.Witness.Run(counting, func(err error) { s.Log.Error(err, "The keeper cannot be told of credentials; it is tried again") })
	})
	counted.Go(func() {
		s.Pulse.Run(counting, func(err error) { s.Log.Error(err, "The API server is read for each request until this works again") })
	})
	counted.Go(func() { s.guardStreams(counting) })
	counted.Go(func() { s.scout(ctx) })
	defer func() { stopCounting(); counted.Wait() }()
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		Protocols:   http1(),
		TLSConfig:   &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: s.certificate},
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    quietLog(),
	}
	drained := make(chan error, 1)
	context.AfterFunc(ctx, func() { drained <- s.drain(context.WithoutCancel(ctx), server, cut) })
	s.serving.Store(true)
	err = server.ServeTLS(listener, "", "")
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve sandboxes: %w", err)
	}
	return <-drained
}

// http1 is all that sandboxd speaks. HTTP/2 needs more memory for a stream that has a connection for itself, and gives hostile callers more to play with.
func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// drain ends connections as soon as nothing is under way on them, lets the streams end that are under way, and cuts them after DrainTime. Shutdown knows nothing
// of connections that were handed over to WebSockets.
func (s *Server) drain(ctx context.Context, server *http.Server, cut context.CancelCauseFunc) error {
	s.serving.Store(false)
	server.SetKeepAlivesEnabled(false)
	<-s.Clock.After(cmp.Or(s.leaveTime, LeaveTime))
	waiting, cancel := context.WithTimeout(ctx, cmp.Or(s.drainTime, DrainTime))
	defer cancel()
	err := server.Shutdown(waiting)
	if err == nil {
		err = s.places.left(waiting)
	}
	if err == nil {
		return nil
	}
	cut(errStopped)
	last, cancelLast := context.WithTimeout(ctx, CutTime)
	defer cancelLast()
	_ = s.places.left(last) // what is still there then is not counted
	return errors.Join(fmt.Errorf("streams were cut after %s: %w", DrainTime, err), server.Close())
}

// Ready reports that sandboxes can be served: there is a certificate, and the gateway is not on its way out.
func (s *Server) Ready(*http.Request) error {
	if !s.serving.Load() {
		return errors.New("not serving")
	}
	_, err := s.certificate(nil)
	return err
}

// certificate is the gateway's own, as the keeper keeps it.
func (s *Server) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: v1alpha1.NamespaceKeys, Name: keep.GatewayServingSecret}
	if err := s.Cache.Get(context.Background(), key, secret, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("read the gateway's certificate, which the keeper makes: %w", err)
	}
	pair, err := s.keys.pair(secret)
	if err != nil {
		return nil, errors.New("the gateway's certificate cannot be used; delete Secret " + key.String() + " to have it made anew")
	}
	return pair, nil
}

// ServeHTTP answers one request of a sandbox.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w, r = duplex.Allow(w, r)
	defer guardBody(w, r, cmp.Or(s.bodyTime, bodyTime))()
	provider, path, ok := cutProvider(r.RequestURI)
	if !ok && !slices.Contains(ownPaths, r.URL.Path) {
		s.refuse(w, meter.Format(""), refusal{http.StatusNotFound, "NotFound", "The gateway has no such path", "", 0})
		return
	}
	if err := s.Fence(r.Context()); err != nil {
		s.Metrics.turnedAway(reasonPolicyMissing)
		s.Log.Error(err, "Nothing is served")
		s.refuse(w, meter.Format(""), refusal{http.StatusServiceUnavailable, reasonPolicyMissing,
			"The gateway serves nothing while Sandkeep's admission policies are not in force; ask an admin to apply its manifests again",
			contract.ProviderUnavailable, identity.RetryAfter})
		return
	}
	caller, turnedAway := s.Identity.Identify(r)
	if turnedAway != nil {
		s.turnAway(w, turnedAway, ok || turnedAway.Reason != identity.ReasonNotLive) // sandboxd reports from a pod that is ending
		return
	}
	leave, room := s.places.take(place{caller.Pod.UID, !ok})
	if !room {
		s.crowded(w, r, caller, provider)
		return
	}
	defer leave()
	switch {
	case ok:
		s.forward(w, r, caller, provider, path)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		s.refuse(w, meter.Format(""), refusal{http.StatusMethodNotAllowed, "MethodNotAllowed", "This path takes POST only", "", 0})
	case r.URL.Path == contract.GatewayReport:
		s.report(w, r, caller)
	case r.URL.Path == contract.GatewayKey:
		s.handOut(w, r, caller)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// report writes what is counted of a run that has ended. The report itself is a claim, which the manager takes from the pod.
func (s *Server) report(w http.ResponseWriter, r *http.Request, caller identity.Caller) {
	r.Body = http.MaxBytesReader(w, r.Body, maxReport)
	if err := s.Ledger.Flush(r.Context(), caller.Session.UID, caller.Pod.UID); err != nil {
		s.Log.Error(err, "Usage cannot be written at the end of a run; it is kept and tried again")
		s.refuse(w, meter.Format(""), refusal{http.StatusServiceUnavailable, "Unavailable", "What was counted cannot be written now; try again", "", identity.RetryAfter})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// turnAway answers a caller who is no sandbox that may ask now, and tells people of it where that is worth a look.
func (s *Server) turnAway(w http.ResponseWriter, r *identity.Refused, telling bool) {
	s.Metrics.turnedAway(r.Reason)
	if telling && r.Session != nil && r.Status == http.StatusUnauthorized {
		s.Recorder.Eventf(r.Session, nil, corev1.EventTypeWarning, "GatewayRefused", "Identify", "%s", r.Message)
	}
	var after time.Duration
	if r.Status == http.StatusServiceUnavailable {
		after = identity.RetryAfter
	}
	shape.Write(w, meter.Format(""), r.Status, r.Reason, r.Message, after)
}

// refusal is an error of the gateway's own.
type refusal struct {
	status        int
	kind, message string
	class         contract.FailureClass
	retryAfter    time.Duration
}

// refuse answers with an error in the shape that the agent knows.
func (s *Server) refuse(w http.ResponseWriter, format meter.Format, r refusal) {
	setFailure(w.Header(), r.class, r.message)
	shape.Write(w, format, r.status, r.kind, r.message, pause(w.Header(), r.retryAfter))
}

// longestPause is how long agents are told to wait at most, as they sleep as long as they are told to: a limit may be raised long before its day ends.
const longestPause = time.Minute

// pause is what the agent is told to wait; sandboxd, which plans by it when the next run is of use, is told the whole of it.
func pause(h http.Header, after time.Duration) time.Duration {
	if after <= longestPause {
		return after
	}
	h.Set(contract.HeaderRetryAfter, strconv.Itoa(int(after.Seconds())))
	return longestPause
}
