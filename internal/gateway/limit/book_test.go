package limit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/observation"
)

var shared = observation.Ref{Kind: v1alpha1.CredentialKindClusterCredential, Name: "shared"}

var kinds = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}()

// cluster is an API server whose calls can be made to fail.
type cluster struct {
	client.WithWatch
	mu    sync.Mutex
	fail  error
	calls int
}

func newCluster(objects ...client.Object) *cluster {
	c := &cluster{}
	c.WithWatch = fake.NewClientBuilder().WithScheme(kinds).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			return errors.Join(c.called(), w.Get(ctx, key, o, options...))
		},
		Create: func(ctx context.Context, w client.WithWatch, o client.Object, options ...client.CreateOption) error {
			if err := c.called(); err != nil {
				return err
			}
			return w.Create(ctx, o, options...)
		},
		Update: func(ctx context.Context, w client.WithWatch, o client.Object, options ...client.UpdateOption) error {
			if err := c.called(); err != nil {
				return err
			}
			return w.Update(ctx, o, options...)
		},
	}).Build()
	return c
}

// callTime is how long the API server takes.
const callTime = 5 * time.Millisecond

func (c *cluster) called() error {
	time.Sleep(callTime)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	return c.fail
}

func (c *cluster) setFault(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

// replica is a Book that runs until the end of the test, or until it is told to end.
func (c *cluster) replica(t *testing.T, name string) (b *Book, end func()) {
	t.Helper()
	b = New(c, c, c, clock.RealClock{}, name)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx, func(err error) { t.Log(err) }) })
	end = func() { cancel(); running.Wait() }
	t.Cleanup(end)
	return b, end
}

func sessionNamed(name string) *v1alpha1.Session {
	return &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: name, UID: types.UID("uid-of-" + name)}}
}

// limits are made by changing none.
func limits(change func(*v1alpha1.CredentialLimits)) *v1alpha1.CredentialLimits {
	l := &v1alpha1.CredentialLimits{}
	change(l)
	return l
}

func ask(l *v1alpha1.CredentialLimits) Request {
	return Request{Credential: shared, Limits: l, Session: sessionNamed("one"), Owner: "dev"}
}

// try makes a request that must not meet an error of the API server.
func try(t *testing.T, b *Book, r Request) (*Pass, *Exceeded) {
	t.Helper()
	pass, exceeded, err := b.Enter(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return pass, exceeded
}

// crowd has clients of two replicas ask again and again, and hands each pass to do.
func crowd(t *testing.T, c *cluster, clients int, last time.Duration, r Request, do func(*Pass)) {
	t.Helper()
	var books []*Book
	for i := range 2 {
		b, _ := c.replica(t, fmt.Sprintf("gateway-%d", i))
		books = append(books, b)
	}
	var all sync.WaitGroup
	began := time.Now()
	for i := range clients {
		all.Go(func() {
			for time.Since(began) < last {
				pass, exceeded, err := books[i%2].Enter(t.Context(), r)
				switch {
				case err != nil:
					t.Error(err)
					return
				case exceeded != nil:
					time.Sleep(max(exceeded.RetryAfter, 10*time.Millisecond))
				default:
					do(pass)
				}
			}
		})
	}
	all.Wait()
}

func TestTwoReplicasNeverExceedRequestsPerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, minutes = 60, 5
		var mu sync.Mutex
		var times []time.Time
		crowd(t, newCluster(), 100, minutes*time.Minute, ask(limits(func(l *v1alpha1.CredentialLimits) { l.RequestsPerMinute = new(int32(limit)) })), func(p *Pass) {
			mu.Lock()
			times = append(times, time.Now())
			mu.Unlock()
			p.Done(0)
			time.Sleep(100 * time.Millisecond)
		})
		slices.SortFunc(times, time.Time.Compare)
		for i := limit; i < len(times); i++ {
			if within := times[i].Sub(times[i-limit]); within < time.Minute {
				t.Fatalf("%d requests within %s, want at most %d in a minute", limit+1, within, limit)
			}
		}
		if least := limit * (minutes - 1); len(times) < least {
			t.Errorf("%d requests in %d minutes, want at least %d: what the limit leaves room for is let through", len(times), minutes, least)
		}
	})
}

func TestTwoReplicasNeverExceedConcurrentRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10
		var mu sync.Mutex
		var now, most, served int
		change := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			now += by
			most = max(most, now)
			served += max(by, 0)
		}
		crowd(t, newCluster(), 100, time.Minute, ask(limits(func(l *v1alpha1.CredentialLimits) { l.ConcurrentRequests = new(int32(limit)) })), func(p *Pass) {
			change(1)
			time.Sleep(2 * time.Second)
			change(-1)
			p.Done(0)
		})
		if most != limit {
			t.Errorf("%d at the same time, want %d: no more, and no fewer where so many wait", most, limit)
		}
		if least := limit * 60 / 2 / 2; served < least {
			t.Errorf("%d served in a minute, want at least %d", served, least)
		}
	})
}

// Requests that have no place yet must not use up the minute of those that will have one.
func TestClaimsAreNotLostToThoseWhoMustWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, minutes = 60, 5
		var mu sync.Mutex
		served := 0
		crowd(t, newCluster(), 100, minutes*time.Minute, ask(limits(func(l *v1alpha1.CredentialLimits) {
			l.RequestsPerMinute, l.ConcurrentRequests = new(int32(limit)), new(int32(3))
		})), func(p *Pass) {
			mu.Lock()
			served++
			mu.Unlock()
			time.Sleep(time.Second)
			p.Done(0)
		})
		if least := limit * (minutes - 1); served < least {
			t.Errorf("%d served in %d minutes, want at least %d", served, minutes, least)
		}
	})
}

func TestWaitingRequestsShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		b, _ := c.replica(t, "gateway-0")
		r := ask(limits(func(l *v1alpha1.CredentialLimits) {
			l.RequestsPerMinute, l.ConcurrentRequests = new(int32(1000)), new(int32(1000))
		}))
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, exceeded := try(t, b, r); exceeded != nil {
					t.Error(exceeded)
				}
			})
		}
		all.Wait()
		if c.calls > 4 { // a read, the write for the first, and that for those who waited meanwhile
			t.Errorf("%d calls of the API server for 100 requests, want at most 4", c.calls)
		}
	})
}

func TestTokensPerDayAreSharedAndBeginAnewAtMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		one, _ := c.replica(t, "gateway-0")
		other, _ := c.replica(t, "gateway-1")
		r := ask(limits(func(l *v1alpha1.CredentialLimits) { l.TokensPerDay = new(int64(1000)) }))
		for _, b := range []*Book{one, other} {
			pass, exceeded := try(t, b, r)
			if exceeded != nil {
				t.Fatal(exceeded)
			}
			pass.Done(600)
		}
		time.Sleep(tokensAge + flushTime + 100*time.Millisecond) // the bound that the package promises
		_, exceeded := try(t, one, r)
		if exceeded == nil || exceeded.Name != TokensPerDay {
			t.Fatalf("got %v, want the limit on tokens: 1200 of 1000 were used", exceeded)
		}
		time.Sleep(exceeded.RetryAfter)
		if _, exceeded := try(t, one, r); exceeded != nil {
			t.Errorf("%v, after the time that it asked for", exceeded)
		}
	})
}

func TestSessionsLeaveRoomWhenTheyEnd(t *testing.T) {
	for name, end := range map[string]func(context.Context, client.Client, *v1alpha1.Session) error{
		"finished": func(ctx context.Context, c client.Client, s *v1alpha1.Session) error {
			s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue}}
			return c.Update(ctx, s)
		},
		"deleted": func(ctx context.Context, c client.Client, s *v1alpha1.Session) error { return c.Delete(ctx, s) },
		"made anew under the same name": func(ctx context.Context, c client.Client, s *v1alpha1.Session) error {
			again := sessionNamed(s.Name)
			again.UID = "another"
			return errors.Join(c.Delete(ctx, s), c.Create(ctx, again))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, second := sessionNamed("first"), sessionNamed("second")
				c := newCluster(first, second)
				b, _ := c.replica(t, "gateway-0")
				r := ask(limits(func(l *v1alpha1.CredentialLimits) { l.Sessions = new(int32(1)) }))
				r.Session = first
				for range 3 {
					if _, exceeded := try(t, b, r); exceeded != nil {
						t.Fatalf("%v, for the Session that has its place", exceeded)
					}
				}
				r.Session = second
				if _, exceeded := try(t, b, r); exceeded == nil || exceeded.Name != Sessions {
					t.Fatalf("got %v, want the limit on Sessions", exceeded)
				}
				if err := end(t.Context(), c.WithWatch, first); err != nil {
					t.Fatal(err)
				}
				if _, exceeded := try(t, b, r); exceeded != nil {
					t.Errorf("%v, after the other Session has ended", exceeded)
				}
			})
		})
	}
}

func TestOwnersHaveLimitsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newCluster().replica(t, "gateway-0")
		r := ask(limits(func(l *v1alpha1.CredentialLimits) {
			l.RequestsPerMinute = new(int32(2))
			l.PerOwner = &v1alpha1.Limits{RequestsPerMinute: new(int32(1))}
		}))
		for _, step := range []struct {
			owner    string
			exceeded bool
			perOwner bool
		}{{"ann", false, false}, {"ann", true, true}, {"bob", false, false}, {"cid", true, false}} {
			r.Owner = step.owner
			_, exceeded := try(t, b, r)
			if (exceeded != nil) != step.exceeded || exceeded != nil && exceeded.PerOwner != step.perOwner {
				t.Errorf("%s: got %v; want exceeded %t, as an owner %t", step.owner, exceeded, step.exceeded, step.perOwner)
			}
		}
	})
}

// A request that one limit refuses takes nothing of the others.
func TestRefusedRequestCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newCluster().replica(t, "gateway-0")
		r := ask(limits(func(l *v1alpha1.CredentialLimits) {
			l.ConcurrentRequests = new(int32(2))
			l.PerOwner = &v1alpha1.Limits{ConcurrentRequests: new(int32(1))}
		}))
		first, _ := try(t, b, r)
		for range 5 {
			if _, exceeded := try(t, b, r); exceeded == nil {
				t.Fatal("a second request of the owner was let through")
			}
		}
		r.Owner = "another"
		if _, exceeded := try(t, b, r); exceeded != nil {
			t.Errorf("%v, though only one request is under way", exceeded)
		}
		first.Done(0)
		first.Done(0)
		r.Owner = "third"
		if _, exceeded := try(t, b, r); exceeded != nil {
			t.Errorf("%v, though a request has ended", exceeded)
		}
		r.Owner = "fourth"
		if _, exceeded := try(t, b, r); exceeded == nil {
			t.Error("a request that ended twice left room for two")
		}
	})
}

// hammer has the owner "greedy" ask by both replicas for a minute, whose own limit is reached.
func hammer(t *testing.T, books []*Book, r Request) {
	t.Helper()
	r.Owner = "greedy"
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			for range 100 {
				r := r
				r.Session = sessionNamed(fmt.Sprintf("greedy-%d", i))
				if _, exceeded, err := books[i%2].Enter(t.Context(), r); err != nil || exceeded == nil {
					t.Errorf("got %v, %v; want the owner's limit", exceeded, err)
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	all.Wait()
}

func TestOwnerBeyondTheirLimitTakesNothingFromOthers(t *testing.T) {
	for name, set := range map[string]func(all, perOwner *v1alpha1.Limits){
		"requests": func(all, perOwner *v1alpha1.Limits) {
			all.RequestsPerMinute, perOwner.TokensPerDay = new(int32(10)), new(int64(1))
		},
		"concurrent requests": func(all, perOwner *v1alpha1.Limits) {
			all.ConcurrentRequests, perOwner.TokensPerDay = new(int32(10)), new(int64(1))
		},
		"Sessions": func(all, perOwner *v1alpha1.Limits) {
			all.Sessions, perOwner.TokensPerDay = new(int32(10)), new(int64(1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				one, _ := c.replica(t, "gateway-0")
				other, _ := c.replica(t, "gateway-1")
				r := ask(limits(func(l *v1alpha1.CredentialLimits) {
					l.PerOwner = &v1alpha1.Limits{}
					set(&l.Limits, l.PerOwner)
				}))
				r.Owner = "greedy"
				first, exceeded := try(t, one, r)
				if exceeded != nil {
					t.Fatal(exceeded)
				}
				first.Done(1)
				time.Sleep(2 * window)
				hammer(t, []*Book{one, other}, r)
				r.Owner = "modest"
				for range 9 {
					if _, exceeded := try(t, other, r); exceeded != nil {
						t.Fatalf("%v, after another owner was refused many times", exceeded)
					}
				}
			})
		})
	}
}

// A watch that is behind does not know a Session yet that another replica has let in.
func TestSessionsKeepTheirPlaceWhenAWatchIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := sessionNamed("first"), sessionNamed("second")
		c := newCluster(first, second)
		behind := fake.NewClientBuilder().WithScheme(kinds).Build()
		b := New(c, behind, c, clock.RealClock{}, "gateway-0")
		r := ask(limits(func(l *v1alpha1.CredentialLimits) { l.Sessions = new(int32(1)) }))
		r.Session = first
		if _, exceeded := try(t, b, r); exceeded != nil {
			t.Fatal(exceeded)
		}
		r.Session = second
		if _, exceeded := try(t, b, r); exceeded == nil {
			t.Error("the place of a Session was given away that is at work")
		}
	})
}

func TestCountersSurviveARestart(t *testing.T) {
	for name, graceful := range map[string]bool{"that was asked for": true, "after a crash": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				before, end := c.replica(t, "gateway-0")
				r := ask(limits(func(l *v1alpha1.CredentialLimits) {
					l.RequestsPerMinute, l.TokensPerDay = new(int32(3)), new(int64(100))
				}))
				for range 2 {
					pass, _ := try(t, before, r)
					pass.Done(40)
				}
				if graceful {
					end()
				} else {
					time.Sleep(2 * flushTime)
				}
				after, _ := c.replica(t, "gateway-1")
				pass, exceeded := try(t, after, r)
				if exceeded != nil {
					t.Fatalf("%v, at the third request", exceeded)
				}
				if _, exceeded := try(t, after, r); exceeded == nil || exceeded.Name != RequestsPerMinute {
					t.Errorf("got %v, want the limit on requests, of which the replica before had let two through", exceeded)
				}
				pass.Done(20)
				time.Sleep(window)
				if _, exceeded := try(t, after, r); exceeded == nil || exceeded.Name != TokensPerDay {
					t.Errorf("got %v, want the limit on tokens, of which the replica before had counted 80", exceeded)
				}
			})
		})
	}
}

func TestPlacesOfAReplicaThatIsGoneComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		r := ask(limits(func(l *v1alpha1.CredentialLimits) { l.ConcurrentRequests = new(int32(1)) }))
		gone := New(c, c, c, clock.RealClock{}, "gateway-0") // it never runs, so it renews nothing
		if _, exceeded := try(t, gone, r); exceeded != nil {
			t.Fatal(exceeded)
		}
		b, _ := c.replica(t, "gateway-1")
		if _, exceeded := try(t, b, r); exceeded == nil {
			t.Fatal("two requests at the same time")
		}
		time.Sleep(holdTime)
		if _, exceeded := try(t, b, r); exceeded != nil {
			t.Errorf("%v, %s after the other replica was last heard of", exceeded, holdTime)
		}
	})
}

func TestPlacesOfALongRequestAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		r := ask(limits(func(l *v1alpha1.CredentialLimits) { l.ConcurrentRequests = new(int32(1)) }))
		one, _ := c.replica(t, "gateway-0")
		pass, _ := try(t, one, r)
		time.Sleep(10 * holdTime)
		other, _ := c.replica(t, "gateway-1")
		if _, exceeded := try(t, other, r); exceeded == nil {
			t.Error("a second request was let through while the first was under way")
		}
		pass.Done(0)
		time.Sleep(2*idleTime + flushTime)
		if _, exceeded := try(t, other, r); exceeded != nil {
			t.Errorf("%v, after the first has ended", exceeded)
		}
	})
}

// I6: without an answer of the API server nothing is let through, and all goes on when it answers again.
func TestI6NothingIsLetThroughUncounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		b, _ := c.replica(t, "gateway-0")
		r := ask(limits(func(l *v1alpha1.CredentialLimits) {
			l.RequestsPerMinute, l.ConcurrentRequests = new(int32(2)), new(int32(1))
		}))
		broken := errors.New("the API server is away")
		c.setFault(broken)
		for range 3 {
			if _, _, err := b.Enter(t.Context(), r); !errors.Is(err, broken) {
				t.Fatalf("got %v, want the error of the API server", err)
			}
		}
		c.setFault(nil)
		pass, exceeded := try(t, b, r)
		if exceeded != nil {
			t.Fatal(exceeded)
		}
		c.setFault(broken)
		pass.Done(0)
		time.Sleep(3 * flushTime)
		c.setFault(nil)
		time.Sleep(2 * flushTime)
		if _, exceeded := try(t, b, r); exceeded != nil {
			t.Errorf("%v, though the first has ended and two a minute are permitted", exceeded)
		}
	})
}

func TestCancelledRequestLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		b, _ := c.replica(t, "gateway-0")
		r := ask(limits(func(l *v1alpha1.CredentialLimits) { l.ConcurrentRequests = new(int32(1)) }))
		var first sync.WaitGroup
		first.Go(func() { try(t, b, r) })
		time.Sleep(callTime / 2) // the first talks to the API server
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := b.Enter(ctx, r); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		first.Wait()
	})
}

func TestOldCountersAreSweptAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		b, _ := c.replica(t, "gateway-0")
		r := ask(limits(func(l *v1alpha1.CredentialLimits) { l.RequestsPerMinute = new(int32(1)) }))
		try(t, b, r)
		count := func() int {
			var list corev1.ConfigMapList
			if err := c.List(t.Context(), &list, client.HasLabels{v1alpha1.LabelLimits}); err != nil {
				t.Fatal(err)
			}
			return len(list.Items)
		}
		time.Sleep(keepTime - time.Hour)
		if count() != 1 {
			t.Error("counters are gone that may still count")
		}
		time.Sleep(3 * time.Hour)
		if count() != 0 {
			t.Error("counters that nobody has written for a day are still there")
		}
	})
}

func TestExceededSaysWhatIsLimited(t *testing.T) {
	for want, e := range map[string]Exceeded{
		"60 requests per minute":                     {Name: RequestsPerMinute, Limit: 60},
		"2 requests at the same time for each owner": {Name: ConcurrentRequests, Limit: 2, PerOwner: true},
		"1000 tokens per day (UTC)":                  {Name: TokensPerDay, Limit: 1000},
		"3 Sessions at the same time for each owner": {Name: Sessions, Limit: 3, PerOwner: true},
	} {
		if got := e.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
