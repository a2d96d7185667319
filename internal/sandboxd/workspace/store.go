package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// store is a repository as git sees it after the agent: a GIT_DIR and index of our own over the workspace's objects and
// files.
type store struct {
	git
	refs  refs
	clone *Clone
	root  *os.Root
	dir   string
	// untouched are files that only git's conversions make look changed.
	untouched []string
}

// open makes the store of a clone. It is closed by closing its root.
func (w *Workspace) open(c *Clone) (*store, error) {
	root, err := os.OpenRoot(w.Dir)
	if err != nil {
		return nil, err
	}
	found, err := readRefs(root, c.Path)
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	dir, err := w.gitDir(found, c.Base)
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("there is no room for what git needs: %w", err)
	}
	env := []string{
		"GIT_DIR=" + dir, "GIT_WORK_TREE=" + c.Dir, "GIT_INDEX_FILE=" + filepath.Join(dir, "index"),
		"GIT_OBJECT_DIRECTORY=" + filepath.Join(c.Dir, ".git", "objects"),
	}
	return &store{git: w.git().in(c.Dir).with(env...), refs: found, clone: c, root: root, dir: dir}, nil
}

// sha256Digits is the length of a commit's name in a repository that uses SHA-256.
const sha256Digits = 64

// gitDir writes a GIT_DIR by hand: `git init` would read templates.
func (w *Workspace) gitDir(found refs, base string) (string, error) {
	dir, err := os.MkdirTemp(w.scratch, "git-")
	if err != nil {
		return "", err
	}
	config := "[core]\n\trepositoryFormatVersion = 1\n\tbare = false\n\tlogAllRefUpdates = false\n"
	if max(len(found.head), len(base)) == sha256Digits {
		config += "[extensions]\n\tobjectFormat = sha256\n"
	}
	head := "ref: refs/heads/none"
	if found.head != "" {
		head = found.head
	}
	files := map[string][]byte{"HEAD": []byte(head + "\n"), "config": []byte(config), "info/exclude": found.exclude}
	for _, folder := range []string{"refs", "objects", "info"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, folder), 0o700))
	}
	for name, data := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return dir, err
}

// isCommit reports that a commit is there, and is one. git says that it is not by its exit code; any other failure says nothing.
func (s *store) isCommit(ctx context.Context, commit string) (bool, error) {
	if commit == "" {
		return false, nil
	}
	found, err := s.run(ctx, "rev-parse", "--quiet", "--verify", "--end-of-options", commit+"^{commit}")
	if saysNo(err) {
		return false, nil
	}
	return strings.TrimSpace(found) == commit, err
}

// saysNo is true for a git command that ended well, with no for an answer.
func saysNo(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == 1
}

// isAncestor reports that descendant was built upon ancestor; everything was built upon nothing.
func (s *store) isAncestor(ctx context.Context, ancestor, descendant string) (bool, error) {
	if ancestor == "" {
		return true, nil
	}
	_, err := s.run(ctx, "merge-base", "--is-ancestor", ancestor, descendant)
	if saysNo(err) {
		return false, nil
	}
	return err == nil, err
}

// unknownTo lists commits (or objects, by args) that can be reached from the wanted commits and not from the known ones.
func (s *store) unknownTo(ctx context.Context, out io.Writer, wanted, known []string, args ...string) error {
	var list bytes.Buffer
	for _, commit := range wanted {
		fmt.Fprintln(&list, commit)
	}
	for _, commit := range known {
		fmt.Fprintln(&list, "^"+commit)
	}
	return s.stream(ctx, &list, out, append([]string{"rev-list", "--ignore-missing", "--stdin"}, args...)...)
}

// anyUnknown reports that one of the wanted commits cannot be reached from the known ones.
func (s *store) anyUnknown(ctx context.Context, wanted, known []string) (bool, error) {
	if len(wanted) == 0 {
		return false, nil
	}
	var out bytes.Buffer
	err := s.unknownTo(ctx, &out, wanted, known, "--max-count=1")
	return out.Len() > 0, err
}

// records calls f for every record of a command's output that ends in NUL.
func (s *store) records(ctx context.Context, f func(record string), args ...string) error {
	split := &splitter{f: f}
	return s.stream(ctx, nil, split, args...)
}

// splitter is a Writer that calls f for every record that ends in NUL.
type splitter struct {
	f    func(string)
	rest []byte
}

func (s *splitter) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		record, rest, found := bytes.Cut(s.rest, []byte{0})
		if !found {
			return len(p), nil
		}
		s.f(string(record))
		s.rest = rest
	}
}

// moveHead returns to the workspace what was committed on top: its branch and index are moved as `git commit` would have done,
// so that a kept workspace shows the commit and not its reverse.
func (s *store) moveHead(ctx context.Context, commit string) error {
	if err := s.lookAgain(ctx); err != nil {
		return err
	}
	name := s.refs.branch
	if name == "" {
		name = "HEAD"
	}
	if err := s.replace(name, strings.NewReader(commit+"\n")); err != nil {
		return err
	}
	index, err := os.Open(filepath.Join(s.dir, "index"))
	if err != nil {
		return err
	}
	defer func() { _ = index.Close() }()
	return s.replace("index", index)
}

// replace writes a file of the workspace's .git at once. Whatever stood in its place, a link included, is gone.
func (s *store) replace(name string, data io.Reader) error {
	base := filepath.Join(s.clone.Path, ".git")
	target, fresh := filepath.Join(base, name), filepath.Join(base, "sandkeep-new")
	if err := s.root.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	_ = s.root.RemoveAll(fresh)
	file, err := s.root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, data)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return s.root.Rename(fresh, target)
}
