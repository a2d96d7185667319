package agent

import (
	"bufio"
	"errors"
	"io"
)

// maxLine is the longest line of structured output that is understood. Longer ones are passed over: one line with a file
// of 10 MB in it must cost neither the memory nor the run.
const maxLine = 1 << 20

// line is one line of output, without its end.
type line struct {
	text []byte
	// size is the whole length; where it is larger than maxLine, text is only the beginning.
	size int
}

func (l line) tooLong() bool { return l.size > len(l.text) }

// eachLine calls f for every line of r until r ends. A line's text is valid during the call only.
func eachLine(r io.Reader, limit int, f func(line)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var text []byte
	size := 0
	for {
		part, err := in.ReadSlice('\n')
		complete := err == nil
		if complete {
			part = part[:len(part)-1]
		}
		size += len(part)
		text = append(text, part[:min(len(part), limit-len(text))]...)
		if complete || err != nil && !errors.Is(err, bufio.ErrBufferFull) && size > 0 {
			f(line{text: text, size: size})
			text, size = text[:0], 0
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}
