package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// unfinished is where a clone grows. It takes its place only when it is complete, so that a run that was cut off leaves
// nothing that the next could take for a clone.
const unfinished = ".sandkeep-clone"

// fresh makes a new clone: all branches and the full history, because agents read both and a shallow clone cannot always
// be pushed from.
func (w *Workspace) fresh(ctx context.Context, root *os.Root, c *Clone) error {
	if err := root.RemoveAll(unfinished); err != nil {
		return err
	}
	defer func() { _ = root.RemoveAll(unfinished) }()
	bound, cancel := context.WithTimeoutCause(ctx, w.timeout(), &gitError{timedOut: w.timeout(), err: context.DeadlineExceeded})
	defer cancel()
	args := []string{"clone", "--quiet", "--no-checkout", "--no-recurse-submodules", "--template=", "--origin=origin", "--", c.URL, unfinished}
	if _, err := w.git().run(bound, args...); err != nil {
		return cmpCause(bound, err)
	}
	dir := filepath.Join(w.Dir, unfinished)
	if err := w.checkOut(bound, w.git().in(dir), c); err != nil {
		return cmpCause(bound, err)
	}
	return install(root, c.Path)
}

// cmpCause is why ctx ended where it did, and else err.
func cmpCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// checkOut finds the commit to start from and fills the work tree.
func (w *Workspace) checkOut(ctx context.Context, g git, c *Clone) error {
	refs, err := g.run(ctx, "for-each-ref", "--format=%(objectname)", "refs/remotes", "refs/tags")
	if err != nil {
		return err
	}
	c.origin = slices.Compact(slices.Sorted(slices.Values(strings.Fields(refs))))
	start, err := w.startOf(ctx, g, c)
	if err != nil {
		return err
	}
	if start.commit == "" {
		return identify(ctx, g) // a repository without commits
	}
	c.Base = start.commit
	c.origin = append(c.origin, start.commit) // which may be on no branch or tag, as that of a pull request
	args := []string{"checkout", "--quiet", "--detach", start.commit}
	if start.branch != "" {
		args = []string{"checkout", "--quiet", "-B", start.branch, "--track", "refs/remotes/origin/" + start.branch}
	}
	if _, err := g.run(ctx, args...); err != nil {
		return err
	}
	return identify(ctx, g)
}

// identify lets an agent commit without setting up git first.
func identify(ctx context.Context, g git) error {
	for key, value := range map[string]string{"user.name": identityName, "user.email": identityEmail} {
		if _, err := g.run(ctx, "config", key, value); err != nil {
			return err
		}
	}
	return nil
}

// start is where the agent begins: a commit, and the branch that it is on, if it is one.
type start struct{ commit, branch string }

// errNoRef is returned for a ref that the origin does not have.
var errNoRef = errors.New("no such ref")

// startOf resolves a ref: a branch before a tag before a commit. From the second run on, the branch to push to is
// continued where an earlier run has pushed it.
func (w *Workspace) startOf(ctx context.Context, g git, c *Clone) (start, error) {
	if w.Run > 1 && c.PushBranch != "" {
		if commit := resolve(ctx, g, "refs/remotes/origin/"+c.PushBranch); commit != "" {
			return start{commit, c.PushBranch}, nil
		}
	}
	if c.Ref == "" {
		return defaultStart(ctx, g)
	}
	branch := strings.TrimPrefix(c.Ref, "refs/heads/")
	if commit := resolve(ctx, g, "refs/remotes/origin/"+branch); commit != "" {
		return start{commit, branch}, nil
	}
	if commit := resolve(ctx, g, "refs/tags/"+strings.TrimPrefix(c.Ref, "refs/tags/")); commit != "" {
		return start{commit: commit}, nil
	}
	return otherStart(ctx, g, c.Ref)
}

func defaultStart(ctx context.Context, g git) (start, error) {
	head, err := g.run(ctx, "symbolic-ref", "--quiet", "HEAD")
	if branch, ok := strings.CutPrefix(strings.TrimSpace(head), "refs/heads/"); err == nil && ok {
		return start{resolve(ctx, g, "refs/remotes/origin/"+branch), branch}, nil
	}
	return start{commit: resolve(ctx, g, "HEAD")}, nil
}

var commitName = regexp.MustCompile(`^[0-9a-fA-F]{7,64}$`)

// otherStart resolves commits, and refs that a clone does not fetch, such as refs/pull/1/head.
func otherStart(ctx context.Context, g git, ref string) (start, error) {
	if commitName.MatchString(ref) {
		if commit := resolve(ctx, g, ref); commit != "" {
			return start{commit: commit}, nil
		}
	} else if !strings.HasPrefix(ref, "refs/") {
		return start{}, errNoRef
	}
	if _, err := g.run(ctx, "fetch", "--quiet", "--no-tags", "--", "origin", ref); err != nil {
		return start{}, fmt.Errorf("%w: %w", errNoRef, err)
	}
	return start{commit: resolve(ctx, g, "FETCH_HEAD")}, nil
}

// resolve is the commit that a name stands for, or nothing.
func resolve(ctx context.Context, g git, name string) string {
	commit, err := g.run(ctx, "rev-parse", "--quiet", "--verify", "--end-of-options", name+"^{commit}")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(commit)
}

// checkURL refuses what no manager lets through, because git would take it for something else.
func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return errors.New("it is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("only http and https are supported")
	case u.User != nil:
		return errors.New("it holds a login; take it out of the URL")
	default:
		return nil
	}
}

// errTaken is returned where something is in a clone's place that is no clone of the same repository.
var errTaken = errors.New("its place in the workspace is taken")

// isTaken reports whether there is anything at path. No part of path may be a symbolic link: a repository cloned before
// could lead the next one out of its place.
func isTaken(root *os.Root, path string) (bool, error) {
	if path == "." || !filepath.IsLocal(path) {
		return false, fmt.Errorf("the path %q is not below the workspace", path)
	}
	if err := noLinks(root, path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	entries, err := fs.ReadDir(root.FS(), filepath.ToSlash(path))
	if err != nil {
		return false, fmt.Errorf("%w: %w", errTaken, err)
	}
	return len(entries) > 0, nil
}

// noLinks checks that every part of path is a directory, and no symbolic link to one.
func noLinks(root *os.Root, path string) error {
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i := range parts {
		part := strings.Join(parts[:i+1], "/")
		stat, err := root.Lstat(part)
		if err != nil {
			return err
		}
		if !stat.IsDir() {
			return fmt.Errorf("%w: %s is not a directory", errTaken, part)
		}
	}
	return nil
}

// install moves the finished clone to its place.
func install(root *os.Root, path string) error {
	if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return root.Rename(unfinished, path)
}
