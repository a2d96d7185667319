// Package e2e runs Sessions with real agents on a real cluster, with the manager deployed as `make install` deploys it. What
// the agents meet is scripted: a model provider and a git server in a namespace of their own.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// concurrency is how many tests run at a time: more than there are processors, since Sessions mostly wait.
const concurrency = "5"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(concurrency) // it is a number
	}
	output := record()
	code := m.Run()
	printDurations()
	if !keysStayedSecret(output.end()) {
		code = 1
	}
	os.Exit(code)
}

// keysStayedSecret looks for the keys of all tests in what they have printed and in what the manager tells.
func keysStayedSecret(output []byte) bool {
	leaked := testsWhoseKeyIsIn(output)
	var err error
	if once.stage != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var told []string
		told, err = once.stage.searchManager(ctx)
		leaked = append(leaked, told...)
	}
	if len(leaked) > 0 || err != nil {
		fmt.Printf("FAIL: keys in the output of the tests, or in logs or metrics of the manager: %q (%v)\n", leaked, err)
		return false
	}
	return true
}

// recording keeps everything that the tests print, to be searched for keys, and lets it through.
type recording struct {
	real, pipe *os.File
	text       bytes.Buffer
	copied     chan struct{}
}

func record() *recording {
	r := &recording{real: os.Stdout, copied: make(chan struct{})}
	reader, writer, err := os.Pipe()
	if err != nil {
		fmt.Println("The output of the tests cannot be recorded:", err)
		os.Exit(1)
	}
	r.pipe, os.Stdout = writer, writer
	go func() {
		defer close(r.copied)
		_, _ = io.Copy(io.MultiWriter(r.real, &r.text), reader) // the tests go on when nobody watches
	}()
	return r
}

// end is what was printed.
func (r *recording) end() []byte {
	_ = r.pipe.Close()
	<-r.copied
	os.Stdout = r.real
	return r.text.Bytes()
}

// keys maps every key that a test has made to the name of the test.
var keys sync.Map

// durations are those of the tests.
var durations struct {
	sync.Mutex
	list []duration
}

type duration struct {
	test string
	took time.Duration
}

// timed records how long a test takes, without the time that it waits for its turn.
func timed(t *testing.T) {
	began := time.Now()
	t.Cleanup(func() {
		durations.Lock()
		defer durations.Unlock()
		durations.list = append(durations.list, duration{t.Name(), time.Since(began)})
	})
}

// printDurations prints a table, the slowest first.
func printDurations() {
	if len(durations.list) == 0 {
		return
	}
	slices.SortFunc(durations.list, func(a, b duration) int { return cmp.Compare(b.took, a.took) })
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TEST\tSECONDS")
	for _, d := range durations.list {
		_, _ = fmt.Fprintf(table, "%s\t%.1f\n", d.test, d.took.Seconds())
	}
	_ = table.Flush()
}
