// Package access asks the API server what the owners of Sessions may use, and remembers its answers for a moment.
package access

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/owner"
)

// Times for which an answer counts: without another question, and while the API server does not answer another question. Both are within the minute
// in which a permission that is taken away must have ended all use.
const (
	fresh = 10 * time.Second
	stale = 30 * time.Second
)

const (
	// patience is how long the API server may take to answer.
	patience = 5 * time.Second
	// maxAnswers bounds what is remembered, some 200 bytes each and the owner's groups.
	maxAnswers = 4096
)

// Reviewer tells whether the owner of a Session may use something now; no owner may use anything. An error means that the API server does not say.
type Reviewer interface {
	May(ctx context.Context, o *v1alpha1.Owner, u owner.Use) (bool, error)
}

// Cache is a Reviewer that remembers answers, whether they permit or not. Questions that come at the same time are asked once.
type Cache struct {
	api     client.Writer
	clock   clock.PassiveClock
	answers *lru.Cache
	flights singleflight.Group
}

var _ Reviewer = (*Cache)(nil)

// answer is what the API server said, and when it was asked.
type answer struct {
	allowed bool
	asked   time.Time
}

// New is a Cache without answers. SubjectAccessReviews are created through api.
func New(api client.Writer, c clock.PassiveClock) *Cache {
	return &Cache{api: api, clock: c, answers: lru.New(maxAnswers)}
}

// May answers from memory, or asks.
func (c *Cache) May(ctx context.Context, o *v1alpha1.Owner, u owner.Use) (bool, error) {
	if o == nil {
		return false, nil
	}
	key := keyOf(*o, u)
	have, found := c.answer(key)
	if found && c.clock.Since(have.asked) < fresh {
		return have.allowed, nil
	}
	got, err, _ := c.flights.Do(key, func() (any, error) { return c.ask(ctx, key, *o, u) })
	if err == nil {
		return got.(bool), nil
	}
	if found && c.clock.Since(have.asked) < stale {
		return have.allowed, nil
	}
	return false, err
}

func (c *Cache) answer(key string) (answer, bool) {
	have, found := c.answers.Get(key)
	if !found {
		return answer{}, false
	}
	return have.(answer), true
}

// ask asks for all who wait for the answer, also when the one who came first has gone.
func (c *Cache) ask(ctx context.Context, key string, o v1alpha1.Owner, u owner.Use) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	asked, review := c.clock.Now(), owner.Review(o, u)
	if err := c.api.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether the owner may use %s %q: %w", u.Kind, u.Name, err)
	}
	c.answers.Add(key, answer{review.Status.Allowed, asked})
	return review.Status.Allowed, nil
}

// keyOf tells questions apart, whatever names consist of.
func keyOf(o v1alpha1.Owner, u owner.Use) string {
	var key []byte
	for _, part := range append([]string{u.Resource, u.Name, o.Username}, o.Groups...) {
		key = append(strconv.AppendQuote(key, part), ' ')
	}
	return string(key)
}
