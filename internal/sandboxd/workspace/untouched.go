package workspace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// converting are the attributes by which git changes a file's content between a commit and the work tree.
var converting = map[string]bool{"text": true, "crlf": true, "eol": true, "ident": true, "working-tree-encoding": true}

// passOver marks what is as git checks it out and yet differs from the commit once git has converted it back: a file with
// CRLF that was committed before .gitattributes called it text, say. Nobody changed such a file. A repository's own index can tell
// by the times of its files; ours is new and compares content.
func (s *store) passOver(ctx context.Context) error {
	if _, err := s.run(ctx, "update-index", "-q", "--refresh"); err != nil {
		return err
	}
	suspects, err := s.converted(ctx)
	if err != nil || len(suspects) == 0 {
		return err
	}
	fresh := filepath.Join(s.dir, "fresh")
	defer func() { _ = os.RemoveAll(fresh) }()
	err = s.stream(ctx, list(suspects), nil, "checkout-index", "--quiet", "--prefix="+fresh+"/", "-z", "--stdin")
	if err != nil {
		return err
	}
	for _, name := range suspects {
		same, err := s.sameAs(filepath.Join(fresh, name), name)
		if err != nil {
			return err
		}
		if same {
			s.untouched = append(s.untouched, name)
		}
	}
	return s.skip(ctx, s.untouched)
}

// skip keeps git from looking at files: what is committed of them stays as it was.
func (s *store) skip(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	return s.stream(ctx, list(names), nil, "update-index", "--skip-worktree", "-z", "--stdin")
}

// list is what git reads with -z.
func list(names []string) io.Reader {
	return strings.NewReader(strings.Join(names, "\x00") + "\x00")
}

// converted lists the files whose content differs from the commit's, and that git converts.
func (s *store) converted(ctx context.Context) ([]string, error) {
	var changed []string
	header := ""
	err := s.records(ctx, func(record string) {
		if strings.HasPrefix(record, ":") && header == "" {
			header = record
			return
		}
		if isContentOnly(header) {
			changed = append(changed, record)
		}
		header = ""
	}, "diff-files", "--raw", "-z", "--no-renames", "--diff-filter=M")
	if err != nil || len(changed) == 0 {
		return nil, err
	}
	return s.withAttributes(ctx, changed)
}

// withAttributes picks the files that git converts.
func (s *store) withAttributes(ctx context.Context, names []string) ([]string, error) {
	var found, fields []string // fields are a file, an attribute and its value
	answer := &splitter{f: func(field string) {
		if fields = append(fields, field); len(fields) < 3 {
			return
		}
		if converting[fields[1]] && (len(found) == 0 || found[len(found)-1] != fields[0]) {
			found = append(found, fields[0])
		}
		fields = fields[:0]
	}}
	err := s.stream(ctx, list(names), answer, "check-attr", "-z", "--stdin", "--all")
	return found, err
}

// isContentOnly is true for a record ":<mode> <mode> ..." of a regular file that stayed one of the same mode.
func isContentOnly(record string) bool {
	modes := strings.Fields(strings.TrimPrefix(record, ":"))
	return len(modes) > 1 && modes[0] == modes[1] && strings.HasPrefix(modes[0], "100")
}

// sameAs compares a file of ours with one of the repository, byte for byte.
func (s *store) sameAs(ours, name string) (bool, error) {
	want, err := os.Open(ours)
	if err != nil {
		return false, err
	}
	defer func() { _ = want.Close() }()
	got, err := openRegular(s.root, path.Join(filepath.ToSlash(s.clone.Path), name))
	if err != nil {
		if isChange(err) {
			err = nil
		}
		return false, err
	}
	defer func() { _ = got.Close() }()
	return sameContent(want, got)
}

func sameContent(a, b io.Reader) (bool, error) {
	const size = 64 << 10
	x, y := make([]byte, size), make([]byte, size)
	for {
		n, errX := io.ReadFull(a, x)
		m, errY := io.ReadFull(b, y)
		switch {
		case isFailure(errX) || isFailure(errY):
			return false, errors.Join(errX, errY)
		case !bytes.Equal(x[:n], y[:m]):
			return false, nil
		case n < size:
			return true, nil
		}
	}
}

func isFailure(err error) bool {
	return err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// lookAgain undoes passOver in an index that is to become the repository's own: there, what comes next must be seen. Its git may
// then list those files as changed, as it does after many a checkout.
func (s *store) lookAgain(ctx context.Context) error {
	if len(s.untouched) == 0 {
		return nil
	}
	return s.stream(ctx, list(s.untouched), nil, "update-index", "--no-skip-worktree", "-z", "--stdin")
}
