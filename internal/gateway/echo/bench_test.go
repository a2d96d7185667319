package echo

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const longKey = "sk-ant-api03-R2D2aB3xYz9KfLmNoPqRsTuVwXyZ0123456789abcdefGHIJKLMNOPQRSTUVWXYZ-_aB3xYz9KfLmNoPqRsTuVwXyZ0123AA"

// plain hides that a reader could be copied from in one go, as a body from the network cannot.
type plain struct{ io.Reader }

// benchTexts are answers: a stream of small events, prose as JSON, and a picture, which is the worst that a provider sends.
func benchTexts() map[string][]byte {
	event := "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"The login redirect loses its query, so\\n \"}}\n\n"
	picture := make([]byte, 3<<20)
	random := source(7)
	for i := range picture {
		picture[i] = byte(random.Uint32())
	}
	return map[string][]byte{
		"events":  []byte(strings.Repeat(event, 4<<20/len(event))),
		"picture": []byte(base64.StdEncoding.EncodeToString(picture)),
	}
}

// BenchmarkReader prints, for each text and size of pieces, how much longer reading takes with the search than without it.
func BenchmarkReader(b *testing.B) {
	d := New(longKey)
	for name, text := range benchTexts() {
		for _, size := range []int{1 << 10, 32 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				buf := make([]byte, size)
				run := func(r io.Reader) {
					if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf); err != nil {
						b.Fatal(err)
					}
				}
				var bare, searched time.Duration
				b.ReportAllocs()
				for b.Loop() {
					began := time.Now()
					run(plain{bytes.NewReader(text)})
					between := time.Now()
					run(plain{d.Reader(io.NopCloser(bytes.NewReader(text)), nil)})
					bare, searched = bare+between.Sub(began), searched+time.Since(between)
				}
				b.ReportMetric(float64(searched)/float64(bare), "x-io.Copy")
				b.ReportMetric(float64(len(text))*float64(b.N)/1e6/searched.Seconds(), "MB/s")
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		New(longKey)
	}
}
