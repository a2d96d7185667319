package keyring

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// gateway answers in the gateway's place, and remembers with the sandbox what happened, in its order.
type gateway struct {
	keys     map[string]contract.Key
	faults   []*failure.Failure // of the first requests
	unplaced error
	happened []string
}

func (g *gateway) ask(_ context.Context, asked contract.KeyRequest) (*contract.Key, *failure.Failure) {
	g.happened = append(g.happened, strings.TrimSpace("asked "+asked.Provider+" "+asked.Revision))
	if len(g.faults) > 0 {
		fault := g.faults[0]
		g.faults = g.faults[1:]
		if fault != nil {
			return nil, fault
		}
	}
	key, ok := g.keys[asked.Provider]
	if !ok || key.Revision == asked.Revision || (asked.Revision != "" && key.Delivery == contract.DeliveryEnv) {
		return nil, nil
	}
	return &key, nil
}

func (g *gateway) place(n int, value string) error {
	g.happened = append(g.happened, fmt.Sprintf("placed %d %s", n, value))
	return g.unplaced
}

func (g *gateway) learn(values ...string) { g.happened = append(g.happened, "learned "+values[0]) }

func (g *gateway) note(format string, args ...any) {
	g.happened = append(g.happened, "noted "+fmt.Sprintf(format, args...))
}

// since is what has happened since it was last asked.
func (g *gateway) since() []string {
	happened := g.happened
	g.happened = nil
	return happened
}

// set is the key of a provider from now on: its value is named for the revision.
func (g *gateway) set(provider string, d contract.Delivery, revision string) {
	g.keys[provider] = contract.Key{Provider: provider, Delivery: d, Revision: revision, Value: "key-" + revision}
}

const (
	file = contract.DeliveryFile
	env  = contract.DeliveryEnv
)

func newRing(g *gateway) *Ring {
	g.keys = map[string]contract.Key{}
	g.set("acme", file, "1")
	g.set("other", env, "2")
	return &Ring{
		Credentials: []contract.Credential{
			{Provider: "proxied", Delivery: contract.DeliveryProxy}, {Provider: "acme", Delivery: file, ByChannel: true},
			{Provider: "mounted", Delivery: file}, {Provider: "other", Delivery: env, ByChannel: true},
		},
		Ask: g.ask, Place: g.place, Learn: g.learn, Note: g.note,
	}
}

// fetched is a Ring that has its first keys.
func fetched(t *testing.T, g *gateway) *Ring {
	t.Helper()
	r := newRing(g)
	if fault := r.Fetch(t.Context()); fault != nil {
		t.Fatal(fault.Message)
	}
	return r
}

func (g *gateway) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, g.since()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func TestKeysAreLearnedThenPlacedThenAcknowledged(t *testing.T) {
	g := &gateway{}
	fetched(t, g)
	g.expect(t, "at first", "asked acme", "learned key-1", "placed 1 key-1", "asked acme 1", "asked other", "learned key-2", "placed 3 key-2", "asked other 2")
}

func TestWhatIsInPlaceIsAcknowledgedAndRenewed(t *testing.T) {
	g := &gateway{}
	r := fetched(t, g)
	g.since()
	r.Renew(t.Context())
	g.expect(t, "nothing has changed", "asked acme 1", "asked other 2")
	g.set("acme", file, "5")
	g.set("other", env, "6")
	r.Renew(t.Context())
	g.expect(t, "both have changed", "asked acme 1", "learned key-5", "placed 1 key-5", "asked acme 5",
		"noted The key of provider acme has changed, and its file with it", "asked other 2")
	r.Renew(t.Context())
	g.expect(t, "nothing has changed since", "asked acme 5", "asked other 2")
	g.set("other", file, "7")
	r.Renew(t.Context())
	g.expect(t, "a key comes that nothing can be done with", "asked acme 5", "asked other 2")
}

func TestAKeyThatCannotBePlacedIsTriedAgain(t *testing.T) {
	g := &gateway{}
	r := fetched(t, g)
	g.since()
	g.set("acme", file, "5")
	g.unplaced = errors.New("no space left")
	for range 2 {
		r.Renew(t.Context())
		g.expect(t, "there is no room", "asked acme 1", "learned key-5", "placed 1 key-5",
			"noted The key of provider acme has changed, and cannot be put into the sandbox: no space left", "asked other 2")
	}
}

func TestARefusalIsToldOnce(t *testing.T) {
	g := &gateway{}
	r := fetched(t, g)
	g.since()
	refused, down := failure.New(contract.ProviderAuthenticationFailed, "Ask an admin"), failure.New(contract.ProviderUnavailable, "Down")
	told := []string{"noted The gateway does not hand out the key of provider acme any more: Ask an admin"}
	for n, round := range []struct {
		fault *failure.Failure
		told  []string
	}{{down, nil}, {refused, told}, {refused, nil}, {down, nil}, {refused, nil}, {nil, nil}, {refused, told}} {
		g.faults = []*failure.Failure{round.fault}
		r.Renew(t.Context())
		g.expect(t, fmt.Sprint("round ", n), append(append([]string{"asked acme 1"}, round.told...), "asked other 2")...)
	}
}

func TestThereIsNoAgentWithoutItsKeys(t *testing.T) {
	refused, down := failure.New(contract.ProviderAuthenticationFailed, "Ask an admin"), failure.New(contract.ProviderUnavailable, "Down")
	cases := map[string]struct {
		change  func(*gateway)
		class   contract.FailureClass
		message string
		least   time.Duration
		most    time.Duration
	}{
		"the gateway comes back": {func(g *gateway) { g.faults = []*failure.Failure{down, down, down} }, "", "", 7 * time.Second, 7 * time.Second},
		"the Session is refused": {func(g *gateway) { g.faults = []*failure.Failure{refused} }, contract.ProviderAuthenticationFailed, "the key of provider acme: Ask an admin", 0, 0},
		"the second key is not there": {func(g *gateway) { delete(g.keys, "other") }, contract.ProviderUnavailable,
			"the key of provider other: it answers without one", patience, patience},
		"the gateway is down for long": {func(g *gateway) {
			for range 100 {
				g.faults = append(g.faults, down)
			}
		}, contract.ProviderUnavailable, "the key of provider acme: Down", patience, patience},
		"there is no room": {func(g *gateway) { g.unplaced = errors.New("no space left") }, contract.AgentCrashed, "cannot be put into the sandbox: no space left", 0, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gateway{}
				r := newRing(g)
				c.change(g)
				began := time.Now()
				fault := r.Fetch(t.Context())
				if (fault == nil) != (c.class == "") || (fault != nil && (fault.Class != c.class || !strings.Contains(fault.Message, c.message))) {
					t.Errorf("got %+v, want %s: %s", fault, c.class, c.message)
				}
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("it took %s", took)
				}
				if tries := len(g.happened); tries > 20 {
					t.Errorf("%d tries", tries)
				}
			})
		})
	}
}

func TestAStopEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{}
		r := newRing(g)
		delete(g.keys, "acme")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		began := time.Now()
		if fault := r.Fetch(ctx); fault == nil || time.Since(began) != 10*time.Second {
			t.Errorf("%+v after %s", fault, time.Since(began))
		}
	})
}
