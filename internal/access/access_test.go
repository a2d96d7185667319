package access

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/owner"
)

// api is an API server that answers questions only.
type api struct {
	client.Writer
	mu sync.Mutex
	// permits is the one question that it says yes to.
	permits authorizationv1.SubjectAccessReviewSpec
	err     error
	delay   time.Duration
	asked   int
}

func (a *api) Create(ctx context.Context, o client.Object, _ ...client.CreateOption) error {
	a.mu.Lock()
	a.asked++
	delay, err := a.delay, a.err
	a.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	review := o.(*authorizationv1.SubjectAccessReview)
	a.mu.Lock()
	defer a.mu.Unlock()
	review.Status.Allowed = fmt.Sprint(review.Spec) == fmt.Sprint(a.permits)
	return err
}

var errSilent = errors.New("no answer")

func dev() *v1alpha1.Owner { return &v1alpha1.Owner{Username: "dev", Groups: []string{"a"}} }

// cacheOver is a Cache over an API server that permits dev the use of "org".
func cacheOver() (*Cache, *api) {
	a := &api{permits: owner.Review(*dev(), owner.ClusterCredential("org")).Spec}
	return New(a, clock.RealClock{}), a
}

// wants asks for dev and "org".
func wants(t *testing.T, c *Cache, allowed bool, err error) {
	t.Helper()
	got, gotErr := c.May(t.Context(), dev(), owner.ClusterCredential("org"))
	if got != allowed || !errors.Is(gotErr, err) {
		t.Errorf("allowed %t with error %v, want %t with %v", got, gotErr, allowed, err)
	}
}

func TestI4EveryQuestionHasItsOwnAnswer(t *testing.T) {
	org := owner.ClusterCredential("org")
	for name, c := range map[string]struct {
		owner *v1alpha1.Owner
		use   owner.Use
		want  bool
	}{
		"the owner and the credential": {dev(), org, true},
		"another name":                 {&v1alpha1.Owner{Username: "dev2", Groups: []string{"a"}}, org, false},
		"another group":                {&v1alpha1.Owner{Username: "dev", Groups: []string{"b"}}, org, false},
		"one more group":               {&v1alpha1.Owner{Username: "dev", Groups: []string{"a", "b"}}, org, false},
		"no group":                     {&v1alpha1.Owner{Username: "dev"}, org, false},
		"a group in the name":          {&v1alpha1.Owner{Username: "dev a"}, org, false},
		"a quotation":                  {&v1alpha1.Owner{Username: `dev" ["a"]`}, org, false},
		"another credential":           {dev(), owner.ClusterCredential("org2"), false},
		"a class of that name":         {dev(), owner.Class("org"), false},
		"nobody":                       {nil, org, false},
	} {
		t.Run(name, func(t *testing.T) {
			cache, _ := cacheOver()
			wants(t, cache, true, nil) // which must not answer for somebody else
			got, err := cache.May(t.Context(), c.owner, c.use)
			if err != nil || got != c.want {
				t.Errorf("allowed %t, %v", got, err)
			}
		})
	}
}

func TestI4AnswersAreAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, a := cacheOver()
		wants(t, cache, true, nil)
		permits := a.permits
		a.permits = authorizationv1.SubjectAccessReviewSpec{}
		time.Sleep(fresh - time.Millisecond)
		wants(t, cache, true, nil)
		time.Sleep(time.Millisecond)
		wants(t, cache, false, nil)
		a.permits = permits
		time.Sleep(fresh - time.Millisecond)
		wants(t, cache, false, nil)
		time.Sleep(time.Millisecond)
		wants(t, cache, true, nil)
		if a.asked != 3 {
			t.Errorf("asked %d times, want 3", a.asked)
		}
	})
}

func TestI4ASilentAPIServerIsBelievedForHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, a := cacheOver()
		a.err = errSilent
		wants(t, cache, false, errSilent)
		a.err = nil
		wants(t, cache, true, nil)
		a.err = errSilent
		time.Sleep(stale - time.Millisecond)
		wants(t, cache, true, nil)
		time.Sleep(time.Millisecond)
		wants(t, cache, false, errSilent)
		a.err = nil
		wants(t, cache, true, nil)
	})
}

func TestAHangingAPIServerIsNotWaitedForForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, a := cacheOver()
		a.delay = time.Hour
		began := time.Now()
		wants(t, cache, false, context.DeadlineExceeded)
		if took := time.Since(began); took != patience {
			t.Errorf("waited %s, want %s", took, patience)
		}
	})
}

func TestAnAnswerIsAsOldAsItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, a := cacheOver()
		a.delay = 4 * time.Second
		wants(t, cache, true, nil)
		time.Sleep(fresh - a.delay)
		a.delay, a.permits = 0, authorizationv1.SubjectAccessReviewSpec{}
		wants(t, cache, false, nil)
	})
}

func TestManyWhoAskAtTheSameTimeAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, a := cacheOver()
		a.delay = time.Second
		gone, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _, _ = cache.May(gone, dev(), owner.ClusterCredential("org")) })
		synctest.Wait()
		for range 100 {
			all.Go(func() { wants(t, cache, true, nil) })
		}
		synctest.Wait()
		leave() // the first one, for whom all others wait
		all.Wait()
		if a.asked != 1 {
			t.Errorf("asked %d times", a.asked)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	cache, _ := cacheOver()
	for i := range maxAnswers + 100 {
		if _, err := cache.May(t.Context(), dev(), owner.ClusterCredential(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := cache.answers.Len(); n != maxAnswers {
		t.Errorf("%d answers are kept", n)
	}
}
