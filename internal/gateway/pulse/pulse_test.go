package pulse

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

var kinds = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(coordinationv1.AddToScheme(s))
	return s
}()

// watch is what a replica sees of an API server: everything, or nothing newer than what it has seen.
type watch struct {
	client.WithWatch
	mu    sync.Mutex
	seen  map[client.ObjectKey]*coordinationv1.Lease
	still bool
}

func (w *watch) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	lease, ok := o.(*coordinationv1.Lease)
	if !ok {
		return w.WithWatch.Get(ctx, key, o, options...)
	}
	if w.still {
		if seen := w.seen[key]; seen != nil {
			seen.DeepCopyInto(lease)
		}
		return nil
	}
	err := w.WithWatch.Get(ctx, key, o, options...)
	w.seen[key] = lease.DeepCopy()
	return err
}

func (w *watch) standStill(still bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.still = still
}

func TestWatchesThatStandStillAreNotDecidedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := fake.NewClientBuilder().WithScheme(kinds).Build()
		w := &watch{WithWatch: api, seen: map[client.ObjectKey]*coordinationv1.Lease{}}
		p := &Pulse{Cache: w, Writer: api, Clock: clock.RealClock{}, Pod: "gateway-0", UID: "uid", Trouble: &Trouble{Clock: clock.RealClock{}}}
		if p.Fresh(t.Context()) {
			t.Error("fresh before the first renewal was seen")
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go p.Run(ctx, func(err error) { t.Error(err) })
		synctest.Wait()
		if !p.Fresh(t.Context()) {
			t.Error("not fresh after the first renewal")
		}
		time.Sleep(10 * MaxAge)
		if !p.Fresh(t.Context()) {
			t.Error("not fresh though the watches work")
		}
		w.standStill(true)
		time.Sleep(MaxAge + time.Second)
		if p.Fresh(t.Context()) {
			t.Errorf("fresh %s after the watches stood still", MaxAge+time.Second)
		}
		w.standStill(false)
		if !p.Fresh(t.Context()) {
			t.Error("not fresh though the watches work again")
		}
	})
}

// TestAClockThatIsSetBackVouchesForNothing: renewals are then from the future, and none of them is new for long.
func TestAClockThatIsSetBackVouchesForNothing(t *testing.T) {
	now := clocktesting.NewFakeClock(time.Now())
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.NamespaceSystem, Name: LeasePrefix + "gateway-0"}}
	lease.Spec.RenewTime = new(metav1.NewMicroTime(now.Now().Add(time.Hour)))
	api := fake.NewClientBuilder().WithScheme(kinds).WithObjects(lease).Build()
	p := &Pulse{Cache: api, Writer: api, Clock: now, Pod: "gateway-0", UID: "uid", Trouble: &Trouble{Clock: now}}
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {MaxAge, true}, {time.Second, false}, {time.Minute, false}} {
		now.Step(step.after)
		if got := p.Fresh(t.Context()); got != step.want {
			t.Errorf("%s later: fresh %t", step.after, got)
		}
	}
}

func TestRenewalsThatFailAreToldAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("away")
		var mu sync.Mutex
		failures := 2
		api := fake.NewClientBuilder().WithScheme(kinds).WithInterceptorFuncs(interceptor.Funcs{
			Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, options ...client.ApplyOption) error {
				mu.Lock()
				defer mu.Unlock()
				if failures > 0 {
					failures--
					return away
				}
				return c.Apply(ctx, o, options...)
			},
		}).Build()
		p := &Pulse{Cache: api, Writer: api, Clock: clock.RealClock{}, Pod: "gateway-0", UID: "uid", Trouble: &Trouble{Clock: clock.RealClock{}}}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		told := 0
		go p.Run(ctx, func(err error) {
			if errors.Is(err, away) {
				told++
			}
		})
		time.Sleep(2*renewTime + time.Second)
		if told != 2 || !p.Fresh(t.Context()) {
			t.Errorf("told %d times, fresh %t; want twice, and fresh again", told, p.Fresh(t.Context()))
		}
	})
}

func TestReaderChooses(t *testing.T) {
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace = "x", "n"
	full := fake.NewClientBuilder().WithScheme(kinds).WithObjects(pod).Build()
	empty := fake.NewClientBuilder().WithScheme(kinds).Build()
	for name, fresh := range map[string]bool{"fresh": true, "old": false} {
		t.Run(name, func(t *testing.T) {
			r := Reader{Cache: full, Live: empty, Fresh: func(context.Context) bool { return fresh }}
			found := r.Get(t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{}) == nil
			var list corev1.PodList
			if err := r.List(t.Context(), &list); err != nil {
				t.Fatal(err)
			}
			if found != fresh || (len(list.Items) == 1) != fresh {
				t.Errorf("found %t, listed %d", found, len(list.Items))
			}
		})
	}
}

func TestAWatchThatFailsMakesTheOthersDoubtful(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		fresh bool
	}{
		"forbidden":           {apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", nil), false},
		"not decoded":         {errors.New("unable to decode an event"), false},
		"its end":             {io.EOF, true},
		"too old a beginning": {apierrors.NewResourceExpired("too old resource version"), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := fake.NewClientBuilder().WithScheme(kinds).Build()
				p := &Pulse{Cache: api, Writer: api, Clock: clock.RealClock{}, Pod: "gateway-0", UID: "uid", Trouble: &Trouble{Clock: clock.RealClock{}}}
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go p.Run(ctx, func(err error) { t.Error(err) })
				synctest.Wait()
				p.Trouble.note(test.err)
				if got := p.Fresh(ctx); got != test.fresh {
					t.Errorf("fresh %t, want %t", got, test.fresh)
				}
				time.Sleep(troubleTime)
				if !p.Fresh(ctx) {
					t.Error("not fresh, though it has not failed again")
				}
			})
		})
	}
}
