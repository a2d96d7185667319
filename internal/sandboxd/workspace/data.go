package workspace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"syscall"
)

// refs are what a repository's .git says of its branches, read as data: no program, configuration or link in it is followed.
type refs struct {
	// head is the commit that is checked out; empty on a branch without commits.
	head string
	// branch is the full name of the ref that HEAD stands for; empty when HEAD is a commit itself.
	branch string
	// all are the commits of every branch and of the stash, by full name.
	all map[string]string
	// exclude are the patterns of files that this clone alone ignores.
	exclude []byte
}

// Bounds of what is read from a hostile .git.
const (
	maxRefFile    = 4 << 10
	maxPackedRefs = 64 << 20
	maxExclude    = 64 << 10
	maxRefs       = 10_000
	maxRefDepth   = 16
)

// What an agent did to a clone. Nothing else is ever said by these errors, because they count as evidence of work; see
// isDamage.
var (
	errNoClone   = errors.New("its directory is gone")
	errNoGit     = errors.New("its .git directory is gone")
	errLinkedGit = errors.New("its .git is no longer a directory of its own")
	errDamaged   = errors.New("its .git directory is damaged")
)

// errOdd is returned for a file that git would not have written.
var errOdd = errors.New("it is not a file of git's")

// isDamage reports that an error tells what an agent did to a clone. A disk that cannot be read, a command that was stopped or
// a lack of memory befall the clone of an idle agent just as well.
func isDamage(err error) bool {
	for _, done := range []error{errNoClone, errNoGit, errLinkedGit, errDamaged, errNotDescending} {
		if errors.Is(err, done) {
			return true
		}
	}
	return false
}

// isChange reports that something in a clone is missing, locked or of another kind than what git made: it was none of that when
// the agent started.
func isChange(err error) bool {
	for _, kind := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, bufio.ErrTooLong, errOdd, errTaken} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// unreadable tells damage of a part of .git from a failure to read it.
func unreadable(part string, err error) error {
	if isChange(err) {
		return fmt.Errorf("%w: %s: %w", errDamaged, part, err)
	}
	return fmt.Errorf("its .git directory cannot be read: %s: %w", part, err)
}

var hash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// readRefs reads the .git of the repository at dir below root.
func readRefs(root *os.Root, dir string) (refs, error) {
	if err := checkGitDir(root, dir); err != nil {
		return refs{}, err
	}
	r := refs{all: map[string]string{}}
	base := path.Join(dir, ".git")
	if err := r.readPacked(root, base); err != nil {
		return refs{}, err
	}
	if err := r.readLoose(root, base, "refs/heads", 0); err != nil {
		return refs{}, err
	}
	if err := r.readOne(root, base, "refs/stash"); err != nil {
		return refs{}, err
	}
	r.exclude, _ = readSmall(root, path.Join(base, "info/exclude"), maxExclude)
	return r, r.readHead(root, base)
}

// checkGitDir makes sure that a repository and its object store are where they were cloned to.
func checkGitDir(root *os.Root, dir string) error {
	if err := noLinks(root, dir); err != nil {
		if isChange(err) {
			return fmt.Errorf("%w: %w", errNoClone, err)
		}
		return fmt.Errorf("its directory cannot be read: %w", err)
	}
	for _, name := range []string{".git", ".git/objects", ".git/refs"} {
		stat, err := root.Lstat(path.Join(dir, name))
		switch {
		case err != nil && !isChange(err):
			return unreadable(name, err)
		case err != nil && name == ".git":
			return errNoGit
		case err != nil:
			return fmt.Errorf("%w: %s is gone", errDamaged, name)
		case !stat.IsDir():
			return errLinkedGit
		}
	}
	return nil
}

func (r *refs) readHead(root *os.Root, base string) error {
	text, err := readSmall(root, path.Join(base, "HEAD"), maxRefFile)
	if err != nil {
		return unreadable("HEAD", err)
	}
	head := strings.TrimSpace(string(text))
	if hash.MatchString(head) {
		r.head = head
		return nil
	}
	name, ok := strings.CutPrefix(head, "ref: ")
	if name = strings.TrimSpace(name); !ok || !isRefName(name) {
		return fmt.Errorf("%w: HEAD is unreadable", errDamaged)
	}
	r.branch = name
	r.head = r.all[name]
	return nil
}

// isRefName keeps names inside refs/: they are used as paths.
func isRefName(name string) bool {
	return strings.HasPrefix(name, "refs/") && path.Clean(name) == name && fs.ValidPath(name)
}

// readPacked reads packed-refs; loose refs, which are read later, win over it.
func (r *refs) readPacked(root *os.Root, base string) error {
	file, err := openRegular(root, path.Join(base, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unreadable("packed-refs", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(io.LimitReader(file, maxPackedRefs))
	for lines.Scan() {
		commit, name, ok := strings.Cut(lines.Text(), " ")
		if ok && hash.MatchString(commit) && isLocal(name) && len(r.all) < maxRefs {
			r.all[name] = commit
		}
	}
	if err := lines.Err(); err != nil {
		return unreadable("packed-refs", err)
	}
	return nil
}

func isLocal(name string) bool {
	return isRefName(name) && (strings.HasPrefix(name, "refs/heads/") || name == "refs/stash")
}

func (r *refs) readLoose(root *os.Root, base, folder string, depth int) error {
	stat, err := root.Lstat(path.Join(base, folder))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return unreadable(folder, err)
	case !stat.IsDir() || depth > maxRefDepth || len(r.all) > maxRefs:
		return fmt.Errorf("%w: %s is not what git made", errDamaged, folder)
	}
	entries, err := fs.ReadDir(root.FS(), path.Join(base, folder))
	if err != nil {
		return unreadable(folder, err)
	}
	for _, entry := range entries {
		name := path.Join(folder, entry.Name())
		if entry.IsDir() {
			err = r.readLoose(root, base, name, depth+1)
		} else {
			err = r.readOne(root, base, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readOne adds a loose ref. One that is missing or holds nonsense is passed over, as git does; one that cannot be read is not,
// since work may depend on it.
func (r *refs) readOne(root *os.Root, base, name string) error {
	commit, err := readRef(root, base, name)
	switch {
	case err == nil:
		r.all[name] = commit
	case !isChange(err):
		return unreadable(name, err)
	}
	return nil
}

func readRef(root *os.Root, base, name string) (string, error) {
	text, err := readSmall(root, path.Join(base, name), maxRefFile)
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(text))
	if !hash.MatchString(commit) {
		return "", errOdd
	}
	return commit, nil
}

// readSmall reads a regular file of at most limit bytes.
func readSmall(root *os.Root, name string, limit int64) ([]byte, error) {
	file, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", errOdd, name, limit)
	}
	return data, err
}

// openRegular opens a file that is one: opening a pipe would wait for ever, and a link may lead to another repository.
func openRegular(root *os.Root, name string) (*os.File, error) {
	stat, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a regular file", errOdd)
	}
	return root.Open(name)
}
