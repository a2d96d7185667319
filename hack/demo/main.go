// Command demo takes a bare machine to the end of a Session: a cluster, the images, Sandkeep, a scripted model provider and a git
// server, a key, and a Session in which a real coding agent repairs a program, tests it and pushes the change.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/hack/demo/scene"
	"github.com/sandkeep/sandkeep/hack/install"
)

// namespace is where the demo plays.
const namespace = "sandkeep-demo"

// patience is how long the Session may take. A first run on a busy machine takes a minute.
const patience = 10 * time.Minute

func main() {
	ctrl.SetLogger(logr.Discard()) // the demo tells everything itself
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err != nil && interrupted:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is one showing.
type demo struct {
	install.Source
	progress *install.Progress
	images   install.Images

	client    client.WithWatch
	clientset kubernetes.Interface
	scene     *scene.Scene
	payer     payer
	cast      cast // empty until it was applied
	search    search
}

func run(ctx context.Context, out io.Writer) error {
	source, err := install.SourceHere()
	if err != nil {
		return err
	}
	d := &demo{Source: source, progress: &install.Progress{Out: out}, payer: choosePayer(ctx, os.Getenv)}
	if err := d.Check(); err != nil {
		return err
	}
	return d.explained(ctx, d.show(ctx))
}

// explained blames nothing else for what failed because somebody ended the demo.
func (d *demo) explained(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return d.interruption()
	}
	return err
}

// show is the whole demo.
func (d *demo) show(ctx context.Context) error {
	began := time.Now()
	d.progress.Printf("%s\n", d.payer.announcement)
	if err := d.prepare(ctx); err != nil {
		return err
	}
	ready := time.Now()
	session, err := d.perform(ctx)
	if err != nil {
		return err
	}
	if err := d.tell(ctx, session); err != nil {
		return err
	}
	d.progress.Printf("\nThe Session took %s, everything together %s.\n", install.Seconds(time.Since(ready)), install.Seconds(time.Since(began)))
	return d.verdict(session)
}

// prepare brings the machine to the point at which somebody would apply a Session.
func (d *demo) prepare(ctx context.Context) error {
	for _, step := range []struct {
		title string
		work  func(context.Context, io.Writer) error
	}{
		{d.clusterTitle(), d.startCluster},
		{d.imagesTitle(), d.provideImages},
		{"Install Sandkeep from config", d.installSandkeep},
		{"Put up the git server and the scripted provider in namespace " + namespace, d.setScene},
	} {
		if err := d.progress.Step(step.title, func(detail io.Writer) error { return step.work(ctx, detail) }); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) clusterTitle() string {
	if d.Existing {
		return "Use the cluster of the current kubeconfig (CLUSTER=existing)"
	}
	return "Start a Kubernetes cluster on this machine (the first time builds it, which takes minutes)"
}

// startCluster also makes the images, if the cluster is ours: that waits for the servers of Debian and npm while Kubernetes compiles, and compiles while
// Kubernetes is linked, which keeps one processor busy only.
func (d *demo) startCluster(ctx context.Context, detail io.Writer) error {
	work, working := errgroup.WithContext(ctx)
	work.Go(func() error { return d.Go(working, detail, d.clusterCommand()...) })
	if !d.Existing {
		beside, flush := d.progress.Detail()
		defer flush()
		work.Go(func() error {
			return d.Go(working, beside, "run", "./hack/images", "build", "opencode", "sandkeep", scene.Image)
		})
	}
	if err := work.Wait(); err != nil {
		return fmt.Errorf("%w; the lines above say why", err)
	}
	return d.connect()
}

// clusterCommand starts the cluster. Only for the real provider do its pods get a way out to the network.
func (d *demo) clusterCommand() []string {
	command := []string{"run", "./hack/cluster", "up"}
	if d.payer.real {
		command = append(command, "-egress")
	}
	return command
}

// connect makes the clients, once there is somebody to talk to.
func (d *demo) connect() error {
	config, err := d.Config()
	if err != nil {
		return err
	}
	if d.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme()}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if d.clientset, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	d.scene, err = scene.New(config, d.client, namespace)
	return err
}

func (d *demo) imagesTitle() string {
	if d.Existing {
		return "Build the images and push them to " + d.Registry
	}
	return "Build the images and load them into the cluster, without a registry"
}

func (d *demo) provideImages(ctx context.Context, detail io.Writer) (err error) {
	d.images, err = d.Provide(ctx, detail, append(install.Shipped, scene.Image)...)
	return err
}

func (d *demo) installSandkeep(ctx context.Context, detail io.Writer) error {
	return d.Install(ctx, d.client, detail, d.images)
}

func (d *demo) setScene(ctx context.Context, detail io.Writer) error {
	return d.scene.Set(ctx, detail, d.images[scene.Image])
}
