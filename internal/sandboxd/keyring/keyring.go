// Package keyring has the keys that a sandbox gets from the gateway: before the agent starts, and anew when they have changed.
package keyring

import (
	"context"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// Ring is what the gateway hands out in one run. All of its fields are required. Its methods are not for concurrent use.
type Ring struct {
	// Credentials are all of the run; those that do not come by the channel are passed over.
	Credentials []contract.Credential
	// Ask asks the gateway, and acknowledges what the request says that there is; nil for nothing new.
	Ask func(context.Context, contract.KeyRequest) (*contract.Key, *failure.Failure)
	// Learn hears of a key before anybody else does, so that it is taken out of what leaves the sandbox.
	Learn func(values ...string)
	// Place puts the key of the n-th credential where the agent finds it.
	Place func(n int, value string) error
	// Note tells the user.
	Note func(format string, args ...any)

	// held are the revisions that are in place, by provider; refused, whom the user was told of.
	held    map[string]string
	refused map[string]bool
}

// Bounds of asking for a key without which there is no agent.
const (
	patience = 2 * time.Minute
	minPause = time.Second
	maxPause = 15 * time.Second
)

// Fetch gets every key, and asks again where the gateway does not answer. A refusal is final: only somebody else can mend its cause.
func (r *Ring) Fetch(ctx context.Context) *failure.Failure {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.held, r.refused = map[string]string{}, map[string]bool{}
	for n, c := range r.Credentials {
		if !c.ByChannel {
			continue
		}
		key, fault := r.first(ctx, c.Provider)
		if fault != nil {
			return failure.New(fault.Class, "No agent was started, because the gateway does not hand out the key of provider %s: %s", c.Provider, fault.Message)
		}
		if err := r.take(ctx, n, key); err != nil {
			return failure.New(contract.AgentCrashed, "No agent was started, because the key of provider %s cannot be put into the sandbox: %v", c.Provider, err)
		}
	}
	return nil
}

func (r *Ring) first(ctx context.Context, provider string) (*contract.Key, *failure.Failure) {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		key, fault := r.Ask(ctx, contract.KeyRequest{Provider: provider})
		if key != nil {
			return key, nil
		}
		if fault == nil {
			fault = failure.New(contract.ProviderUnavailable, "it answers without one")
		}
		if fault.Class == contract.ProviderAuthenticationFailed || !sleep(ctx, pause) {
			return nil, fault
		}
	}
}

// take puts a key in its place, and tells the gateway that it is there.
func (r *Ring) take(ctx context.Context, n int, key *contract.Key) error {
	r.Learn(key.Value)
	if err := r.Place(n, key.Value); err != nil {
		return err
	}
	r.held[key.Provider] = key.Revision
	_, _ = r.Ask(ctx, contract.KeyRequest{Provider: key.Provider, Revision: key.Revision}) // the next round says it again
	return nil
}

// Renew acknowledges once what is in place, and puts newer keys there. A key in the environment of a process stays what it was.
func (r *Ring) Renew(ctx context.Context) {
	for n, c := range r.Credentials {
		if !c.ByChannel {
			continue
		}
		key, fault := r.Ask(ctx, contract.KeyRequest{Provider: c.Provider, Revision: r.held[c.Provider]})
		r.tellRefusal(c.Provider, fault)
		if key == nil || c.Delivery != contract.DeliveryFile {
			continue
		}
		if err := r.take(ctx, n, key); err != nil {
			r.Note("The key of provider %s has changed, and cannot be put into the sandbox: %v", c.Provider, err)
			continue
		}
		r.Note("The key of provider %s has changed, and its file with it", c.Provider)
	}
}

// tellRefusal tells once, until the gateway thinks better of it.
func (r *Ring) tellRefusal(provider string, fault *failure.Failure) {
	refused := fault != nil && fault.Class == contract.ProviderAuthenticationFailed
	if refused && !r.refused[provider] {
		r.Note("The gateway does not hand out the key of provider %s any more: %s", provider, fault.Message)
	}
	if refused || fault == nil {
		r.refused[provider] = refused
	}
}

// sleep is false when ctx ends before its time.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
