package workspace

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
)

// leaks finds the places where what would be pushed holds a delivered key: files by path, in any of the new commits, and
// the new commits' own texts.
func (s *store) leaks(ctx context.Context, r *redact.Redactor, head string) ([]string, error) {
	if r.Empty() {
		return nil, nil
	}
	var list bytes.Buffer
	if err := s.unknownTo(ctx, &list, []string{head}, s.clone.origin, "--objects"); err != nil {
		return nil, err
	}
	objects := &objectScanner{redactor: r, paths: map[string]string{}}
	names := bufio.NewScanner(&list)
	names.Buffer(nil, maxOutput)
	var wanted bytes.Buffer
	for names.Scan() {
		object, path, _ := strings.Cut(names.Text(), " ")
		objects.paths[object] = path
		wanted.WriteString(object + "\n")
	}
	err := s.stream(ctx, &wanted, objects, "cat-file", "--batch", "--buffer")
	return objects.found, err
}

// objectScanner reads what `git cat-file --batch` writes: a line "<name> <type> <size>", the content, a line break.
type objectScanner struct {
	redactor *redact.Redactor
	paths    map[string]string
	found    []string

	header  []byte
	place   string
	content *redact.Writer
	left    int64
}

func (o *objectScanner) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if o.content == nil {
			rest = o.readHeader(rest)
			continue
		}
		n := min(int64(len(rest)), o.left)
		_, _ = o.content.Write(rest[:n])
		rest, o.left = rest[n:], o.left-n
		if o.left == 0 {
			o.endObject()
		}
	}
	return len(p), nil
}

func (o *objectScanner) readHeader(p []byte) (rest []byte) {
	before, after, whole := bytes.Cut(p, []byte("\n"))
	o.header = append(o.header, before...)
	if !whole {
		return nil
	}
	fields := strings.Fields(string(o.header))
	o.header = o.header[:0]
	if len(fields) != 3 {
		return after // the line break after a content, or "<name> missing"
	}
	size, _ := strconv.ParseInt(fields[2], 10, 64)
	o.place = placeOf(fields[1], o.paths[fields[0]])
	o.left = size
	o.content = o.redactor.Writer(io.Discard)
	if size == 0 {
		o.endObject()
	}
	return after
}

func (o *objectScanner) endObject() {
	_ = o.content.Flush()
	if o.content.Hits() > 0 {
		o.found = append(o.found, o.place)
	}
	o.content = nil
}

func placeOf(kind, path string) string {
	switch kind {
	case "commit":
		return "the message of a commit"
	case "tree":
		return "the name of a file"
	default:
		return "the file " + path
	}
}
