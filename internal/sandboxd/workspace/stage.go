package workspace

import (
	"context"
	"fmt"
	"strings"
)

// staged is what the work tree amounts to.
type staged struct {
	// tree is the tree object of everything that can be committed.
	tree string
	// changed is true when tree differs from the commit that is checked out.
	changed bool
	// nested are repositories inside the repository: git can only note their commit, not keep their files.
	nested []string
}

// stage reads the whole work tree into the private index.
func (s *store) stage(ctx context.Context) (staged, error) {
	if err := s.readHead(ctx); err != nil {
		return staged{}, err
	}
	nested, err := s.nested(ctx)
	if err != nil {
		return staged{}, err
	}
	if err := s.add(ctx, nested); err != nil {
		return staged{}, fmt.Errorf("its files cannot be committed: %w", err)
	}
	tree, err := s.run(ctx, "write-tree")
	if err != nil {
		return staged{}, err
	}
	before := ""
	if s.refs.head != "" {
		if before, err = s.run(ctx, "rev-parse", "--verify", s.refs.head+"^{tree}"); err != nil {
			return staged{}, err
		}
	}
	empty := before == "" && !s.hasFiles(ctx)
	return staged{tree: strings.TrimSpace(tree), changed: tree != before && !empty, nested: nested}, nil
}

// hasFiles reports that the index is not empty.
func (s *store) hasFiles(ctx context.Context) bool {
	found := false
	err := s.records(ctx, func(string) { found = true }, "ls-files", "-z")
	return err == nil && found
}

// readHead fills the index with what is checked out. Submodules are marked as not to be looked at: looking means running
// git inside them, with their own configuration. They were not cloned, and what is committed of them stays as it was. So does
// what only git's conversions make look changed.
func (s *store) readHead(ctx context.Context) error {
	if s.refs.head == "" {
		return nil
	}
	if _, err := s.run(ctx, "read-tree", s.refs.head); err != nil {
		return err
	}
	var links []string
	err := s.records(ctx, func(record string) {
		if mode, path, ok := strings.Cut(record, "\t"); ok && strings.HasPrefix(mode, gitlink) {
			links = append(links, path)
		}
	}, "ls-files", "--stage", "-z")
	if err != nil {
		return err
	}
	if err := s.skip(ctx, links); err != nil {
		return err
	}
	if err := s.passOver(ctx); err != nil {
		return fmt.Errorf("its files cannot be compared with what is checked out: %w", err)
	}
	return nil
}

// gitlink is the mode of a submodule.
const gitlink = "160000 "

// nested finds repositories that are neither tracked nor ignored: they alone are listed with a slash at the end.
func (s *store) nested(ctx context.Context) ([]string, error) {
	var found []string
	err := s.records(ctx, func(record string) {
		if path, ok := strings.CutSuffix(record, "/"); ok {
			found = append(found, path)
		}
	}, "ls-files", "--others", "--exclude-standard", "-z")
	return found, err
}

// add stages everything but the nested repositories.
func (s *store) add(ctx context.Context, nested []string) error {
	if len(nested) == 0 {
		_, err := s.run(ctx, "add", "--all")
		return err
	}
	paths := []string{"."}
	for _, path := range nested {
		paths = append(paths, ":(exclude,literal,top)"+path)
	}
	return s.stream(ctx, strings.NewReader(strings.Join(paths, "\x00")), nil, "add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul")
}

// commit makes a commit of what was staged, on top of what is checked out.
func (s *store) commit(ctx context.Context, tree, message string) (string, error) {
	args := []string{"commit-tree", tree, "-F", "-"}
	if s.refs.head != "" {
		args = append(args, "-p", s.refs.head)
	}
	out := &bounded{limit: maxRefFile}
	err := s.stream(ctx, strings.NewReader(message), out, args...)
	return strings.TrimSpace(out.String()), err
}
