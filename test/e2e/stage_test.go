package e2e

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/demo/scene"
	"github.com/sandkeep/sandkeep/hack/install"
	"github.com/sandkeep/sandkeep/test/cluster"
)

// stageName is the namespace of the servers, and the name of the class and the provider that lead to them.
const stageName = "sandkeep-e2e"

// proxiedClass is the class whose keys stay in the gateway.
const proxiedClass = stageName + "-proxy"

// setUpLog takes what the setting up says: builds are told of at length, and interrupt the results of tests.
var setUpLog = os.Stderr

// stage is what all tests share.
type stage struct {
	source    install.Source
	config    *rest.Config
	client    client.WithWatch
	clientset kubernetes.Interface
	scene     *scene.Scene
	images    install.Images
}

// onStage gives a test what all share, and sets it up for the first that asks.
func onStage(t *testing.T) *stage {
	t.Helper()
	config := cluster.Config(t)
	s, err := setUp(config)
	if err != nil {
		t.Fatalf("Sandkeep cannot be installed for the tests: %v", err)
	}
	return s
}

var once struct {
	sync.Once
	stage *stage
	err   error
}

// setUp comes to the cluster by the same way as make install and make demo.
func setUp(config *rest.Config) (*stage, error) {
	once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
		defer cancel()
		once.stage, once.err = newStage(ctx, config)
	})
	return once.stage, once.err
}

func newStage(ctx context.Context, config *rest.Config) (*stage, error) {
	source, err := install.SourceHere()
	if err != nil {
		return nil, err
	}
	s := &stage{source: source, config: config}
	if s.client, err = client.NewWithWatch(config, client.Options{Scheme: cluster.Scheme()}); err != nil {
		return nil, err
	}
	if s.clientset, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.scene, err = scene.New(config, s.client, stageName); err != nil {
		return nil, err
	}
	if s.images, err = source.Provide(ctx, setUpLog, append(install.Shipped, scene.Image)...); err != nil {
		return nil, err
	}
	if err := source.Install(ctx, s.client, setUpLog, s.images); err != nil {
		return nil, err
	}
	if err := s.scene.Set(ctx, setUpLog, s.images[scene.Image]); err != nil {
		return nil, err
	}
	return s, s.applyShared(ctx)
}

// applyShared makes the provider and the OpenCode class of the tests from the shipped ones.
func (s *stage) applyShared(ctx context.Context) error {
	class, provider := &v1alpha1.SessionClass{}, &v1alpha1.APIProvider{}
	if err := s.client.Get(ctx, client.ObjectKey{Name: "opencode"}, class); err != nil {
		return err
	}
	if err := s.client.Get(ctx, client.ObjectKey{Name: "anthropic"}, provider); err != nil {
		return err
	}
	return s.scene.Apply(ctx, s.scene.Provider(provider, stageName),
		scene.Class(class, stageName, stageName, v1alpha1.DeliveryEnv), scene.Class(class, proxiedClass, stageName, v1alpha1.DeliveryProxy))
}
