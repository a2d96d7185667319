package sandboxd

import (
	"context"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/door"
	"github.com/sandkeep/sandkeep/internal/sandboxd/environment"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
	"github.com/sandkeep/sandkeep/internal/sandboxd/keyring"
)

// keyPath is where the key of a File delivery is: where the kubelet has put it, or where what comes from the gateway is written to memory.
func (r *run) keyPath(c contract.Credential) string {
	dir := r.Dirs.Credentials
	if c.ByChannel {
		dir = filepath.Join(r.Dirs.Private, filepath.Base(contract.ChannelDir))
	}
	return filepath.Join(dir, c.Provider, contract.APIKeyFile)
}

// fetchKeys gets the keys that the gateway hands out, in a run that has any.
func (r *run) fetchKeys(ctx context.Context) *failure.Failure {
	if !slices.ContainsFunc(r.config.Credentials, func(c contract.Credential) bool { return c.ByChannel }) {
		return nil
	}
	if r.door == nil {
		return failure.New(contract.AgentCrashed, "No agent was started, because a key is to come from the gateway and the sandbox has no way there")
	}
	r.ring = &keyring.Ring{
		Credentials: r.config.Credentials, Ask: r.door.Key, Learn: r.redactor.Learn, Place: r.placeKey, Note: r.transcript.Note,
	}
	return r.ring.Fetch(ctx)
}

// placeKey puts a key from the gateway where the agent finds it: its own file, and those that speak of it, as far as they are there already.
func (r *run) placeKey(n int, value string) error {
	r.keys[n].Value = value
	if path := r.keys[n].Path; path != "" {
		if err := environment.WritePrivate(path, value); err != nil {
			return err
		}
	}
	if len(r.files) == 0 {
		return nil
	}
	changed := environment.Build(r.Environ, r.config, r.keys, r.place()).Files
	if err := environment.ReplaceFiles(r.files, changed, r.Dirs.Private); err != nil {
		return err
	}
	r.files = changed
	return nil
}

// renewKeys keeps the keys up to date until stop is called.
func (r *run) renewKeys(ctx context.Context) (stop func()) {
	if r.ring == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { door.Pace(ctx, r.ring.Renew) })
	return func() { cancel(); renewing.Wait() }
}
