package redact

import (
	"bytes"
	"cmp"
	"io"
	"slices"
)

// Writer passes text on without keys. What may be the beginning of a key is held back until the next Write decides, or Flush.
//
// At rest pending is the text that has not been passed on; its first covered bytes belong to a key whose Mark has been
// written already, and are kept because a second key may begin inside them.
type Writer struct {
	r       *Redactor
	to      io.Writer
	pending []byte
	covered int
	hits    int
}

// Writer is a Writer to w.
func (r *Redactor) Writer(w io.Writer) *Writer { return &Writer{r: r, to: w} }

// Hits is how many keys were taken out.
func (w *Writer) Hits() int { return w.hits }

// maxPiece bounds what is looked at in one go, because looking takes a multiple of it in memory.
const maxPiece = 32 << 10

// Write takes all of p, unless the Writer below fails.
func (w *Writer) Write(p []byte) (int, error) {
	if w.r.Empty() {
		return w.to.Write(p)
	}
	for piece := range slices.Chunk(p, maxPiece) {
		w.pending = append(w.pending, piece...)
		if err := w.pass(w.holdFrom()); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Flush passes on what was held back.
func (w *Writer) Flush() error { return w.pass(len(w.pending)) }

// pass writes the pending text before limit, keys marked, and keeps the rest.
func (w *Writer) pass(limit int) error {
	if limit == 0 {
		return nil
	}
	var out bytes.Buffer
	next := 0
	for _, s := range w.spans() {
		if s.start >= limit {
			break
		}
		out.Write(w.pending[next:s.start])
		if s.start > 0 || w.covered == 0 {
			out.WriteString(Mark)
			w.hits++
		}
		next = s.end
	}
	out.Write(w.pending[min(next, limit):limit])
	w.covered = max(0, next-limit)
	w.pending = append(w.pending[:0], w.pending[limit:]...)
	_, err := w.to.Write(out.Bytes())
	return err
}

// span is a stretch of pending text.
type span struct{ start, end int }

// spans are the stretches that hold keys, in order; those that overlap are one.
func (w *Writer) spans() []span {
	text, at := squeeze(w.pending)
	var found []span
	if w.covered > 0 {
		found = append(found, span{0, w.covered})
	}
	for _, form := range w.r.words().forms {
		for from := 0; ; {
			i := bytes.Index(text[from:], form)
			if i < 0 {
				break
			}
			start := from + i
			found = append(found, span{at[start], at[start+len(form)-1] + 1})
			from = start + 1
		}
	}
	return merge(found)
}

// merge orders spans and makes one of those that overlap.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var merged []span
	for _, s := range spans {
		if last := len(merged) - 1; last >= 0 && s.start < merged[last].end {
			merged[last].end = max(merged[last].end, s.end)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// holdFrom is where the text begins that may be the beginning of a key.
func (w *Writer) holdFrom() int {
	text, at := squeeze(w.pending)
	known := w.r.words()
	for start := max(0, len(text)-known.longest+1); start < len(text); start++ {
		for _, form := range known.forms {
			if tail := text[start:]; len(tail) < len(form) && bytes.HasPrefix(form, tail) {
				return at[start]
			}
		}
	}
	return len(w.pending)
}

// maxGap is the longest white space inside a key that is seen through: what follows a longer one is something else. It
// bounds what a Writer holds back.
const maxGap = 64

// squeeze is text without white space, and where each byte of it stands in text. For a gap that is too long there is a NUL,
// which no key has.
func squeeze(text []byte) (squeezed []byte, at []int) {
	squeezed, at = make([]byte, 0, len(text)), make([]int, 0, len(text))
	gap := 0
	for i, b := range text {
		if isBreak(b) {
			if gap++; gap != maxGap+1 {
				continue
			}
			b = 0
		} else {
			gap = 0
		}
		squeezed, at = append(squeezed, b), append(at, i)
	}
	return squeezed, at
}
