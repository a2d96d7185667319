package transcript

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
)

// readable is an entry as text. What sandboxd says is marked; what the agent says stands as it is.
func readable(e Entry) string {
	switch e.Kind {
	case KindText:
		return e.Text + "\n"
	case KindStderr:
		return "stderr: " + e.Text + "\n"
	case KindTool:
		return strings.TrimRight(fmt.Sprintf("[tool] %s %s: %s", e.Tool, e.Status, firstLine(e.Text)), ": ") + "\n"
	case KindUsage:
		return "[usage] " + usageText(e.Usage) + "\n"
	case KindEnd:
		return endText(e)
	default:
		return "[sandkeep] " + indented(e.Text) + "\n"
	}
}

func endText(e Entry) string {
	verdict := string(e.Outcome)
	if e.Class != "" {
		verdict += ", " + string(e.Class)
	}
	text := "[sandkeep] " + verdict + "; " + usageText(e.Usage) + "\n"
	if e.Text != "" {
		text += "[sandkeep] " + indented(e.Text) + "\n"
	}
	return text
}

func usageText(u *contract.Usage) string {
	if u == nil || *u == (contract.Usage{}) {
		return "no usage told by the agent"
	}
	text := fmt.Sprintf("%d tokens in, %d out", u.InputTokens, u.OutputTokens)
	if u.Requests > 0 {
		text += fmt.Sprintf(", %d requests", u.Requests)
	}
	return text + ", by the agent's own count"
}

// indented keeps the further lines of a text recognisable as parts of the first.
func indented(text string) string { return strings.ReplaceAll(text, "\n", "\n           ") }

func firstLine(text string) string {
	line, _, more := strings.Cut(text, "\n")
	const width = 200
	if runes := []rune(line); len(runes) > width {
		line, more = string(runes[:width]), true
	}
	if more {
		line += " …"
	}
	return line
}

// escapes are a terminal's control sequences (ECMA-48): CSI, OSC and the two-byte ones. They are taken out whole, because
// what is left of them without the escape character is noise.
var escapes = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]")

// Printable is text without control sequences, control characters and characters that reorder what a terminal shows.
// Tabs and line breaks stay.
func Printable(text string) string {
	text = escapes.ReplaceAllString(strings.ToValidUTF8(text, ""), "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		default:
			return r
		}
	}, text)
}

// maxLine is the longest line that is kept together; a longer one is continued on the next.
const maxLine = 16 << 10

// Stream makes lines of pieces. A line is cleaned when it is complete and only then searched for keys: a key could
// otherwise hide behind a control sequence in its middle.
type Stream struct {
	line     []byte
	redactor *redact.Writer
	lines    lineWriter
}

func newStream(r *redact.Redactor, emit func(line string)) *Stream {
	s := &Stream{lines: lineWriter{emit: emit}}
	s.redactor = r.Writer(&s.lines)
	return s
}

func (s *Stream) add(piece string) {
	for piece != "" {
		part := piece[:min(len(piece), maxLine-len(s.line))]
		if i := strings.IndexByte(part, '\n'); i >= 0 {
			part = part[:i+1]
		}
		s.line = append(s.line, part...)
		piece = piece[len(part):]
		if strings.HasSuffix(part, "\n") || len(s.line) >= maxLine {
			s.pass()
		}
	}
}

func (s *Stream) pass() {
	_, _ = s.redactor.Write([]byte(Printable(string(s.line))))
	s.line = s.line[:0]
}

func (s *Stream) flush() {
	s.pass()
	_ = s.redactor.Flush()
	s.lines.flush()
}

// lineWriter calls emit for every line.
type lineWriter struct {
	emit func(line string)
	rest bytes.Buffer
}

func (w *lineWriter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		w.rest.Write(bytes.TrimRight(line, "\n"))
		if bytes.HasSuffix(line, []byte("\n")) || w.rest.Len() >= maxLine {
			w.emit(w.rest.String())
			w.rest.Reset()
		}
	}
	return len(p), nil
}

func (w *lineWriter) flush() {
	if w.rest.Len() > 0 {
		w.emit(w.rest.String())
		w.rest.Reset()
	}
}
