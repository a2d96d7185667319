// Command gateway measures what the gateway adds to requests: the same load goes through it and through a bare httputil.ReverseProxy, each a process of
// its own, to a scripted provider. Times differ from one machine to the next; the differences and ratios between the two are what to compare.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/sandkeep/sandkeep/hack/bench/gateway/apiserver"
	"github.com/sandkeep/sandkeep/hack/bench/program"
	"github.com/sandkeep/sandkeep/hack/install"
)

// options are the flags of the benchmark.
type options struct {
	requests, clients, streams, rounds int
	span                               time.Duration
	jsonFile, profiles                 string
}

func main() {
	o := options{}
	flag.IntVar(&o.requests, "requests", 2000, "how many requests are made one after the other through each, to see how long they take")
	flag.IntVar(&o.clients, "clients", 16, "how many sandboxes ask at a time, to see how many requests pass in a second")
	flag.DurationVar(&o.span, "span", 15*time.Second, "how long they ask through each")
	flag.IntVar(&o.streams, "streams", 2000, "how many streams are open at a time, each of another sandbox on another connection")
	flag.IntVar(&o.rounds, "rounds", 5, "in how many turns the two are measured, so that what else the machine does hits both")
	flag.StringVar(&o.jsonFile, "json", "", "file that takes the figures as JSON")
	flag.StringVar(&o.profiles, "profile", "", "folder that takes profiles of the gateway: cpu.pprof and heap.pprof")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	ctrllog.SetLogger(zap.New(zap.WriteTo(io.Discard))) // what goes wrong is returned
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-gateway:", err)
		os.Exit(1)
	}
}

// bench is one benchmark.
type bench struct {
	options
	program.Workshop
	*program.Course
	api      *apiserver.Server
	identity *identity
	provider *endpoint
	agents   []agent
	// gateway is what is measured, bare what it is compared with.
	gateway, bare *front
	// idle is how many goroutines the gateway has when nobody is connected.
	idle   int
	report report
}

func run(ctx context.Context, out io.Writer, o options) error {
	if o.requests < o.rounds || o.clients < 1 || o.streams < 1 || o.rounds < 1 || o.span <= 0 {
		return errors.New("-clients, -streams and -rounds must be at least 1, -requests at least -rounds, and -span more than 0")
	}
	return program.Alone(ctx, out, func(ctx context.Context, _ install.Source, w program.Workshop, c *program.Course) error {
		b := &bench{options: o, Workshop: w, Course: c}
		if err := b.perform(ctx); err != nil {
			return err
		}
		return b.tell(out)
	})
}

// perform does the steps of the benchmark. Memory is measured first, in a gateway that has not been at work.
func (b *bench) perform(ctx context.Context) error {
	return b.Perform(ctx, []program.Step{
		{Title: "Build the gateway, and a bare proxy", Work: b.build},
		{Title: fmt.Sprintf("Start a provider, and an API server with %d sandboxes", b.sandboxes()), Work: b.startSurroundings},
		{Title: "Start the gateway and the bare proxy, and make one request through each", Work: b.startFronts},
		{Title: fmt.Sprintf("Open %d streams at a time", b.streams), Work: b.measureStreams},
		{Title: fmt.Sprintf("Make %d requests, one after the other", b.requests), Work: b.measureLatency},
		{Title: fmt.Sprintf("Make requests from %d sandboxes at a time", b.clients), Work: b.measureThroughput},
		{Title: "See that nothing of it is left in the gateway", Work: b.nothingLeft},
		{Title: "Stop the gateway, and compare what it counted with what the provider did", Work: b.compareUsage},
	})
}

// sandboxes is how many there are.
func (b *bench) sandboxes() int { return max(b.streams, b.clients) }

func (b *bench) build(ctx context.Context, detail io.Writer) error {
	var err error
	if b.Scratch, err = os.MkdirTemp("", "sandkeep-bench-"); err != nil {
		return err
	}
	b.Undo("Remove temporary files", func(context.Context, io.Writer) error { return os.RemoveAll(b.Scratch) })
	overlay, err := b.Overlay("gateway")
	if err != nil {
		return err
	}
	return errors.Join(
		b.Compile(ctx, detail, b.Checkout, "gateway", "-overlay", overlay, "./cmd/gateway"),
		b.Compile(ctx, detail, b.Checkout, "bare", "./hack/bench/gateway/bare"),
	)
}
