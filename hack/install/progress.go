package install

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress tells a person what is being done and how long it took.
type Progress struct {
	// Out takes the text.
	Out io.Writer

	mu sync.Mutex
}

// Step does one piece of work under a title. What the work writes to detail is shown indented below it.
func (p *Progress) Step(title string, work func(detail io.Writer) error) error {
	began := time.Now()
	p.Printf("==> %s\n", title)
	detail, flush := p.Detail()
	err := work(detail)
	flush()
	if err != nil {
		return err
	}
	p.Printf("    done in %s\n", Seconds(time.Since(began)))
	return nil
}

// Detail is for one writer among several of a step: each needs its own, so that their lines stay whole. Flush writes what is left of the last.
func (p *Progress) Detail() (detail io.Writer, flush func()) {
	w := &indented{to: p}
	return w, w.flush
}

// Printf writes as it is told to.
func (p *Progress) Printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.Out, format, args...) // work goes on when nobody watches
}

// Seconds is a duration as people read it.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// indented sets lines off from the titles of steps. A line is written once it is whole.
type indented struct {
	to   *Progress
	line []byte
}

func (w *indented) Write(text []byte) (int, error) {
	w.line = append(w.line, text...)
	for {
		end := bytes.IndexByte(w.line, '\n')
		if end < 0 {
			return len(text), nil
		}
		w.to.Printf("    %s\n", w.line[:end])
		w.line = w.line[end+1:]
	}
}

func (w *indented) flush() {
	if len(w.line) > 0 {
		w.to.Printf("    %s\n", w.line)
		w.line = nil
	}
}
