package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/observation"
)

const (
	// flushTime is how often what is not written yet is looked for.
	flushTime = 500 * time.Millisecond
	// lastTime bounds the last writes of a replica that ends.
	lastTime = 10 * time.Second
	// tries bounds how often a write is tried again that another replica came before.
	tries = 20
)

// errContended is the answer when others always come first.
var errContended = errors.New("other replicas of the gateway always come first")

// Request asks to use a credential once.
type Request struct {
	Credential observation.Ref
	Limits     *v1alpha1.CredentialLimits
	// Session is whose request it is.
	Session *v1alpha1.Session
	// Owner is the user for whom the Session runs.
	Owner string
}

// Book is one replica's side of the counting. It is safe for concurrent use.
type Book struct {
	live    client.Reader
	writer  client.Writer
	cache   client.Reader
	clock   clock.WithTicker
	replica string

	mu       sync.Mutex
	accounts map[accountKey]*account
	sweep    time.Time
}

// New is an empty Book of a replica. Live reads the API server, and cache Sessions from watches.
func New(live, cache client.Reader, writer client.Writer, c clock.WithTicker, replica string) *Book {
	return &Book{live: live, cache: cache, writer: writer, clock: c, replica: replica, accounts: map[accountKey]*account{}}
}

// Pass is permission for one request.
type Pass struct {
	book     *Book
	accounts []*account
	once     sync.Once
}

// Done ends the request, with the tokens that it used. Only the first call counts.
func (p *Pass) Done(tokens int64) {
	p.once.Do(func() {
		for _, a := range p.accounts {
			a.finish(p.book.clock.Now(), tokens)
		}
	})
}

// Enter lets a request through, or says which limit leaves no room for it. An error is one of the API server.
func (b *Book) Enter(ctx context.Context, r Request) (*Pass, *Exceeded, error) {
	pass := &Pass{book: b}
	who := session{string(r.Session.UID), sessionKey{r.Session.Namespace, r.Session.Name}}
	for _, a := range b.accountsFor(r) {
		exceeded, err := b.enter(ctx, a, who)
		if exceeded != nil || err != nil {
			for _, before := range pass.accounts {
				before.undo()
			}
			return nil, exceeded, err
		}
		pass.accounts = append(pass.accounts, a)
	}
	return pass, nil, nil
}

// accountsFor are the accounts of a request that have limits: first the owner's own, so that whoever exceeds that takes nothing of what is everybody's.
func (b *Book) accountsFor(r Request) []*account {
	all, perOwner := rulesOf(r.Limits)
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*account
	if perOwner != (v1alpha1.Limits{}) {
		list = append(list, b.account(accountKey{credential: r.Credential, perOwner: true, owner: r.Owner}, perOwner))
	}
	if all != (v1alpha1.Limits{}) {
		list = append(list, b.account(accountKey{credential: r.Credential}, all))
	}
	return list
}

// account is that of a key, with the limits as they are now.
func (b *Book) account(key accountKey, rules v1alpha1.Limits) *account {
	a := b.accounts[key]
	if a == nil {
		a = newAccount(key, b.replica)
		b.accounts[key] = a
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rules, a.askedTime = rules, b.clock.Now()
	return a
}

// enter waits for its turn at one account, and takes what an earlier turn brought, or asks for itself and all that wait.
func (b *Book) enter(ctx context.Context, a *account, who session) (*Exceeded, error) {
	a.wait(1)
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		a.wait(-1)
		return nil, ctx.Err()
	}
	defer func() { <-a.turn }()
	wanted := a.wait(-1) + 1
	for range tries {
		if a.consume(b.clock.Now(), who) {
			return nil, nil
		}
		exceeded, err := b.settle(ctx, a, wanted, who)
		if exceeded != nil || err != nil {
			return exceeded, err
		}
	}
	return nil, errContended
}

// wait counts who waits.
func (a *account) wait(change int32) int32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting += change
	return a.waiting
}

// settle brings an account and its ConfigMap together: it asks for room for some requests, and tells what earlier ones used. The turn is held.
func (b *Book) settle(ctx context.Context, a *account, wanted int32, who session) (*Exceeded, error) {
	for range tries {
		now := b.clock.Now()
		if a.age(now) > tokensAge {
			if err := b.read(ctx, a); err != nil {
				return nil, err
			}
		}
		proposed, exceeded := a.propose(now, wanted, who)
		if exceeded != nil {
			if changed, err := b.lookAgain(ctx, a, exceeded); err != nil {
				return nil, err
			} else if changed {
				continue
			}
			return exceeded, nil
		}
		if !proposed.changed {
			return nil, nil
		}
		err := b.write(ctx, a, proposed)
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return nil, err
		}
		if err := b.read(ctx, a); err != nil {
			return nil, err
		}
	}
	return nil, errContended
}

// lookAgain looks for room that others may have given back, before a request is refused, and says whether to ask once more.
func (b *Book) lookAgain(ctx context.Context, a *account, e *Exceeded) (changed bool, err error) {
	if a.age(b.clock.Now()) > refusalAge {
		return true, b.read(ctx, a)
	}
	return e.Name == Sessions && b.discharge(ctx, a), nil
}

// discharge gives back the places of Sessions that have ended, and says whether there were any.
func (b *Book) discharge(ctx context.Context, a *account) bool {
	a.mu.Lock()
	listed := a.known.Sessions
	a.mu.Unlock()
	var ended []string
	for uid, key := range listed {
		if b.ended(ctx, b.cache, uid, key) && b.ended(ctx, b.live, uid, key) { // a watch may not have seen the beginning yet
			ended = append(ended, uid)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = a.known.without(ended)
	return len(ended) > 0
}

func (b *Book) ended(ctx context.Context, reader client.Reader, uid string, key sessionKey) bool {
	s := &v1alpha1.Session{}
	err := reader.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, s)
	return apierrors.IsNotFound(err) || err == nil && (string(s.UID) != uid || finished(s))
}

// Run tells the other replicas what they have to know, until ctx ends, and then everything that is left.
func (b *Book) Run(ctx context.Context, failed func(error)) {
	ticker := b.clock.NewTicker(flushTime)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C():
			b.flush(ctx, false, failed)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	b.flush(last, true, failed)
}

func (b *Book) flush(ctx context.Context, end bool, failed func(error)) {
	for _, a := range b.all() {
		if !a.unsettled(b.clock.Now(), end) {
			continue
		}
		if err := b.flushOne(ctx, a); err != nil {
			failed(fmt.Errorf("write what is counted for limits of %s: %w", a.key.credential.Name, err))
		}
	}
	if err := b.sweepOld(ctx); err != nil {
		failed(err)
	}
}

func (b *Book) flushOne(ctx context.Context, a *account) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.turn }()
	_, err := b.settle(ctx, a, 0, session{})
	return err
}

// all are the accounts that are still of use.
func (b *Book) all() []*account {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*account
	for key, a := range b.accounts {
		if a.idle(b.clock.Now()) {
			delete(b.accounts, key)
			continue
		}
		list = append(list, a)
	}
	return list
}
