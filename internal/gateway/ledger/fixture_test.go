package ledger

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration"
	"github.com/sandkeep/sandkeep/internal/build"
)

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}()

// server is an API server in memory that can fail.
type server struct {
	client.WithWatch
	t *testing.T
	// reads and writes count those that were tried; fail, when set, is asked before each one.
	reads, writes atomic.Int64
	fail          func(write bool, n int64) error
	// lose, when set, is asked after each write, and may lose its answer.
	lose func(n int64) error
}

func newServer(t *testing.T, sessions ...*v1alpha1.Session) *server {
	s := &server{t: t, fail: func(bool, int64) error { return nil }}
	b := fake.NewClientBuilder().WithScheme(scheme).WithTypeConverters(applyconfiguration.NewTypeConverter(scheme)).WithStatusSubresource(&v1alpha1.Session{})
	for _, session := range sessions {
		b.WithObjects(session)
	}
	s.WithWatch = interceptor.NewClient(b.Build(), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if err := s.fail(false, s.reads.Add(1)); err != nil {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		},
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			if err := s.fail(true, s.writes.Add(1)); err != nil {
				return err
			}
			if err := c.SubResource(sub).Apply(ctx, o, opts...); err != nil || s.lose == nil {
				return err
			}
			return s.lose(s.writes.Load())
		},
	})
	return s
}

func (s *server) ledger() *Ledger { return New(s, s, clock.RealClock{}) }

// status is that of a Session now.
func (s *server) status(name string) v1alpha1.SessionStatus {
	s.t.Helper()
	session := &v1alpha1.Session{}
	if err := s.Get(context.Background(), client.ObjectKey{Namespace: build.Namespace, Name: name}, session); err != nil {
		s.t.Fatal(err)
	}
	return session.Status
}

// usage is requests, input and output tokens of a Session now.
func (s *server) usage(name string) [3]int64 {
	s.t.Helper()
	u := s.status(name).Usage
	if u == nil {
		return [3]int64{}
	}
	return [3]int64{value(u.Requests), value(u.InputTokens), value(u.OutputTokens)}
}

// entry is an accepted request of a Session with 10 tokens in and 3 out.
func entry(name string) Entry {
	return Entry{
		Session: client.ObjectKey{Namespace: build.Namespace, Name: name}, UID: build.UID(name), Accepted: true, InputTokens: 10, OutputTokens: 3,
		Provider: "anthropic", Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: "shared"}, Revision: "7",
	}
}

func with(e Entry, change func(*Entry)) Entry {
	change(&e)
	return e
}

// running is a ledger at work until the test stops it.
type running struct {
	*Ledger
	t      *testing.T
	cancel context.CancelFunc
	ended  chan struct{}
	errs   atomic.Int64
}

func run(t *testing.T, l *Ledger) *running {
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Ledger: l, t: t, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		l.Run(ctx, func(error) { r.errs.Add(1) })
	}()
	return r
}

func (r *running) stop() {
	r.cancel()
	<-r.ended
}

// flushed is the end of a run: each time another one's.
func (l *Ledger) flushed(t *testing.T, uid types.UID) {
	t.Helper()
	if err := l.Flush(t.Context(), uid, anotherRun()); err != nil {
		t.Fatal(err)
	}
}

var runs atomic.Int64

// anotherRun is the UID of a pod that has not been before.
func anotherRun() types.UID { return types.UID(fmt.Sprintf("run-%d", runs.Add(1))) }

func conflict() error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "sessions"}, "fix-login", context.Canceled)
}

func down() error { return apierrors.NewInternalError(context.DeadlineExceeded) }

// start is the time at which each bubble of synctest begins.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
