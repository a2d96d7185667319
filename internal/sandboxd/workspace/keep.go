package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// keep takes over what an earlier run left: nothing in the clone is touched, the agent goes on where the last one stopped.
func (w *Workspace) keep(ctx context.Context, root *os.Root, c *Clone) error {
	if !w.Keep {
		return fmt.Errorf("%w: %s is not empty", errTaken, c.Path)
	}
	found, err := readRefs(root, c.Path)
	if err != nil {
		return fmt.Errorf("%w: %s is no clone that can be used: %w", errTaken, c.Path, err)
	}
	if err := w.sameOrigin(ctx, root, c); err != nil {
		return err
	}
	c.Base = found.head
	c.origin, err = w.remoteCommits(ctx, c.URL)
	return err
}

// sameOrigin makes sure that a clone is one of the wanted repository. The address is for the comparison only.
func (w *Workspace) sameOrigin(ctx context.Context, root *os.Root, c *Clone) error {
	file := filepath.Join(c.Path, ".git", "config")
	if stat, err := root.Lstat(file); err != nil || !stat.Mode().IsRegular() {
		return fmt.Errorf("%w: %s has no configuration", errTaken, c.Path)
	}
	address, err := w.git().run(ctx, "config", "--file", filepath.Join(w.Dir, file), "--no-includes", "--get", "remote.origin.url")
	if err != nil || sameKey(address) != sameKey(c.URL) {
		return fmt.Errorf("%w: %s is a clone of another repository; move it away or choose another path", errTaken, c.Path)
	}
	return nil
}

// sameKey is equal for two ways to write one address.
func sameKey(address string) string {
	return strings.TrimSuffix(strings.TrimRight(PublicURL(strings.TrimSpace(address)), "/"), ".git")
}

// remoteCommits are the commits of the branches and tags that an origin has now.
func (w *Workspace) remoteCommits(ctx context.Context, address string) ([]string, error) {
	out, err := w.git().run(ctx, "ls-remote", "--quiet", "--heads", "--tags", "--", address)
	if err != nil {
		return nil, err
	}
	var commits []string
	for text := range strings.Lines(out) {
		commit, _, ok := strings.Cut(text, "\t")
		if !ok || !hash.MatchString(commit) {
			return nil, errors.New("the origin's list of branches is unreadable")
		}
		commits = append(commits, commit)
	}
	return commits, nil
}
