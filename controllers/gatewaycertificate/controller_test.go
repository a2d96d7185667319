package gatewaycertificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/keep/certificate"
)

var (
	start    = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	errFault = errors.New("the API server is gone")
)

// stage is an API server in memory and keepers that work on it.
type stage struct {
	*testing.T
	api   client.WithWatch
	clock *clocktesting.FakePassiveClock
}

func newStage(t *testing.T) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return &stage{t, fake.NewClientBuilder().WithScheme(scheme).Build(), clocktesting.NewFakePassiveClock(start)}
}

// keeper is one replica. Before each of its calls to the API server, before is told the call's number, from 1, and may make it fail.
func (s *stage) keeper(before func(call int, write bool) error) *Reconciler {
	calls := 0
	count := func(write bool) error {
		calls++
		return before(calls, write)
	}
	c := interceptor.NewClient(s.api, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if err := count(false); err != nil {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if err := count(true); err != nil {
				return err
			}
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if err := count(true); err != nil {
				return err
			}
			return c.Update(ctx, o, opts...)
		},
	})
	return &Reconciler{Client: c, Clock: s.clock, Metrics: NewMetrics()}
}

func unhindered(int, bool) error { return nil }

// reconcile lets a keeper look, without an error.
func (s *stage) reconcile(r *Reconciler) ctrl.Result {
	s.Helper()
	result, err := r.Reconcile(s.Context(), reconcile.Request{})
	if err != nil {
		s.Fatal(err)
	}
	return result
}

// covered fails the test unless the bundle covers the certificate.
func (s *stage) covered(when string) world {
	s.Helper()
	w, err := (&Reconciler{Client: s.api}).observe(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	pair, err := tls.X509KeyPair(w.serving.Data[corev1.TLSCertKey], w.serving.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		s.Fatalf("%s: %v", when, err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(w.bundle.Data[keep.GatewayBundleKey]))
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: certificate.ServerName, Roots: roots, CurrentTime: s.clock.Now()}); err != nil {
		s.Fatalf("%s: %v", when, err)
	}
	return w
}

// settles fails the test unless a last look finds nothing to write.
func (s *stage) settles(when string) {
	s.Helper()
	s.reconcile(s.keeper(unhindered))
	s.covered(when)
	s.reconcile(s.keeper(func(_ int, write bool) error {
		if write {
			s.Errorf("%s: a last look writes", when)
		}
		return nil
	}))
}

func TestTheCertificatesAreMadeOnce(t *testing.T) {
	s := newStage(t)
	result := s.reconcile(s.keeper(unhindered))
	if diff := cmp.Diff(ctrl.Result{RequeueAfter: longestRest}, result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	w := s.covered("at first")
	if diff := cmp.Diff([]corev1.SecretType{corev1.SecretTypeOpaque, v1alpha1.SecretTypeCertificate}, []corev1.SecretType{w.authorities.Type, w.serving.Type}); diff != "" {
		t.Errorf("types of the Secrets (-want +got):\n%s", diff)
	}
	s.settles("then")
}

func TestTheCertificateIsRenewedInTime(t *testing.T) {
	s := newStage(t)
	s.reconcile(s.keeper(unhindered))
	before := s.covered("at first")
	s.clock.SetTime(start.Add(certificate.ServingLife * 2 / 3))
	s.settles("at two thirds of its life")
	after := s.covered("then")
	if cmp.Equal(before.serving.Data, after.serving.Data) || !cmp.Equal(before.authorities.Data, after.authorities.Data) {
		t.Error("the certificate is not a new one of the same authority")
	}
	s.clock.SetTime(s.clock.Now().Add(certificate.ServingLife*2/3 - time.Hour))
	if got := s.reconcile(s.keeper(unhindered)).RequeueAfter; got < 30*time.Minute || got > 2*time.Hour {
		t.Errorf("another look is asked for after %v", got)
	}
}

// times are those at which something is written, with the time at which the stage begins.
var times = map[string]struct{ settled, now time.Time }{
	"when nothing exists":                      {now: start},
	"at the renewal of the certificate":        {settled: start, now: start.Add(certificate.ServingLife)},
	"at the next authority":                    {settled: start, now: start.Add(certificate.AuthorityLife * 2 / 3)},
	"when the next authority begins to sign":   {settled: start.Add(certificate.AuthorityLife * 2 / 3), now: start.Add(certificate.AuthorityLife*2/3 + certificate.Overlap)},
	"when the old authority leaves the bundle": {settled: start.Add(certificate.AuthorityLife*2/3 + certificate.Overlap), now: start.Add(certificate.AuthorityLife*2/3 + certificate.Overlap + certificate.ServingLife)},
}

// begin is a stage on which all was in order at every time up to one, and is due for what happens at the next.
func begin(t *testing.T, settled, now time.Time) *stage {
	t.Helper()
	s := newStage(t)
	for _, at := range []time.Time{start, start.Add(certificate.AuthorityLife * 2 / 3), settled} {
		if !settled.IsZero() && !at.After(settled) {
			s.clock.SetTime(at)
			s.reconcile(s.keeper(unhindered))
		}
	}
	s.clock.SetTime(now)
	return s
}

// Invariant I6.
func TestAnyCallMayFail(t *testing.T) {
	for name, at := range times {
		t.Run(name, func(t *testing.T) {
			for fault, failed := 1, true; failed; fault++ {
				failed = false
				s := begin(t, at.settled, at.now)
				_, err := s.keeper(func(call int, _ bool) error {
					if call == fault {
						failed = true
						return errFault
					}
					return nil
				}).Reconcile(t.Context(), reconcile.Request{})
				if failed != errors.Is(err, errFault) {
					t.Errorf("call %d: error %v", fault, err)
				}
				s.settles(fmt.Sprintf("after call %d failed", fault))
			}
		})
	}
}

// One keeper stops before any of its calls, while another does all of its work, and goes on with what it knew.
func TestTwoKeepersAtOnce(t *testing.T) {
	for name, at := range times {
		t.Run(name, func(t *testing.T) {
			for stop, stopped := 1, true; stopped; stop++ {
				stopped = false
				s := begin(t, at.settled, at.now)
				s.reconcile(s.keeper(func(call int, _ bool) error {
					if call == stop {
						stopped = true
						s.reconcile(s.keeper(unhindered))
					}
					return nil
				}))
				s.covered(fmt.Sprintf("after the other worked before call %d", stop))
				s.settles(fmt.Sprintf("after the other worked before call %d", stop))
			}
		})
	}
}

func TestManyKeepersAtOnce(t *testing.T) {
	for name, at := range times {
		t.Run(name, func(t *testing.T) {
			s := begin(t, at.settled, at.now)
			var keepers sync.WaitGroup
			for range 4 {
				keepers.Go(func() {
					if _, err := s.keeper(unhindered).Reconcile(t.Context(), reconcile.Request{}); err != nil {
						t.Error(err)
					}
				})
			}
			keepers.Wait()
			s.settles("after all of them")
		})
	}
}

func TestAKeeperThatWasSlowerIsNoFailure(t *testing.T) {
	s := newStage(t)
	result, err := s.keeper(func(call int, _ bool) error {
		if call == 4 {
			s.reconcile(s.keeper(unhindered))
		}
		return nil
	}).Reconcile(t.Context(), reconcile.Request{})
	if diff := cmp.Diff(ctrl.Result{RequeueAfter: firstRetry}, result); diff != "" || err != nil {
		t.Errorf("error %v, result (-want +got):\n%s", err, diff)
	}
}

// Invariant I2.
func TestNoKeyIsInAnError(t *testing.T) {
	s := newStage(t)
	s.reconcile(s.keeper(unhindered))
	s.clock.SetTime(start.Add(certificate.ServingLife))
	_, err := s.keeper(func(_ int, write bool) error {
		if write {
			return apierrors.NewInternalError(errFault)
		}
		return nil
	}).Reconcile(t.Context(), reconcile.Request{})
	if err == nil || strings.Contains(err.Error(), "PRIVATE") || strings.Contains(err.Error(), "CERTIFICATE") {
		t.Errorf("error %v", err)
	}
}

func TestOnlyTheThreeObjectsWakeIt(t *testing.T) {
	w := newWorld()
	for name, o := range map[string]client.Object{"the authorities": w.authorities, "the bundle": w.bundle, "the certificate": w.serving} {
		if !isOurs(o) {
			t.Errorf("%s are nobody's", name)
		}
		o.SetNamespace("elsewhere")
		if isOurs(o) {
			t.Errorf("%s of another namespace are ours", name)
		}
	}
	if isOurs(&corev1.Pod{}) {
		t.Error("a Pod is ours")
	}
}
