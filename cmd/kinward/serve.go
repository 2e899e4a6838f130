package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer DNS questions",
		Long: `Answers DNS questions for a family, and keeps what was attempted.

Every flag is also a key of the YAML configuration and a variable: --allow-net is
"allow-net" in the file and KINWARD_ALLOW_NET in the environment (lists separated by
commas). A flag wins over a variable, a variable over the file.

SIGHUP reads the configuration and the lists again without dropping a question;
SIGTERM finishes what is under way, writes what was attempted, and ends.`,
		Example: `  kinward serve
  kinward serve --dns 192.168.1.10:53 --data /var/lib/kinward
  kinward serve --config /etc/kinward/kinward.yaml
  kinward serve --upstream 'https://dns.quad9.net/dns-query?ip=9.9.9.9'
  kinward serve --upstream udp://192.168.1.1:53 --allow-net 192.168.0.0/16`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd)
			if err != nil {
				return err
			}
			return c.serve(cmd.Context(), cmd, cfg)
		},
	}
	addSettingFlags(cmd)
	return cmd
}

// addSettingFlags gives a command the flags that are also settings.
func addSettingFlags(cmd *cobra.Command) {
	d := defaultConfig()
	f := cmd.Flags()
	f.StringArray("dns", nil, "address to answer on, UDP and TCP; repeatable (default "+strings.Join(d.DNS, ", ")+")")
	f.StringArray("dot", nil, "address to answer on over TLS (DoT), mostly [::]:853; repeatable")
	f.StringArray("doh", nil, "address to answer on over HTTPS (DoH), TCP and UDP, mostly [::]:443; http://ADDRESS behind a reverse proxy; repeatable")
	f.StringArray("doq", nil, "address to answer on over QUIC (DoQ), mostly [::]:853; repeatable")
	f.StringArray("upstream", nil, "server that resolves what is allowed, as tls://NAME?ip=ADDRESS, or https, h3, quic, tcp, udp; repeatable (default "+strings.Join(d.Upstream, ", ")+")")
	f.String("metrics", "", "address for health and metrics over HTTP (default "+d.Metrics+")")
	f.String("console", "", "address of the console, in a browser (default "+d.Console+")")
	f.Bool("pprof", false, "serve Go's profiles beside the metrics, to this machine alone")
	f.String("block-page", "", "address for the page that tells a device why something is blocked, plain HTTP, mostly this machine's in the home (default: none)")
	f.StringArray("allow-net", nil, "network that may ask; repeatable (default: loopback and private networks)")
}

func (c *cli) serve(ctx context.Context, cmd *cobra.Command, cfg *config) (err error) {
	started := time.Now()
	set, err := cfg.resolve()
	if err != nil {
		return usageError(err)
	}
	level := new(slog.LevelVar)
	level.Set(set.level)
	log := newLogger(c.err, cfg.Log.Format, level)
	collect := hurry()
	defer collect()
	n, err := openNode(ctx, cfg, log, lockPatience)
	if err != nil {
		return err
	}
	n.collect = collect
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.recompile(ctx); err != nil {
		return err
	}
	home, _, err := n.db.Family(ctx, 0)
	if err != nil {
		return err
	}
	if err := n.openServing(ctx, set, started); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.serving.close()) }()
	return c.run(ctx, n, set, home, cmd, level)
}

// lockPatience is how long serve waits for a command that has the data folder.
const lockPatience = 5 * time.Second

func newLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// explainBindError says what to do about an address that cannot be had.
func explainBindError(err error) error { return explainBind(err, "/proc") }

func explainBind(err error, proc string) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w\nPorts below 1024 need a privilege. Give it to the program once with:\n  sudo setcap cap_net_bind_service=+ep %s", err, shellQuote(programFile(program())))
	case errors.Is(err, syscall.EADDRINUSE):
		text := fmt.Sprintf("%v\nAnother program has this address already.", err)
		if port := boundPort(err); port != 53 {
			return fmt.Errorf("%s To see which: sudo ss -lnptu 'sport = :%d'", text, port)
		}
		for _, h := range port53Holders(proc) {
			text += fmt.Sprintf("\n%s holds %s port 53. To let it go: %s", h.who(), h.Address, letGo(h))
		}
		return errors.New(text)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w\nThis machine has no such address; \"ip addr\" shows those that it has", err)
	}
	return err
}

// boundPort is the port that could not be had, 53 where the error does not say.
func boundPort(err error) uint16 {
	var op *net.OpError
	if errors.As(err, &op) {
		if at, ok := op.Addr.(interface{ AddrPort() netip.AddrPort }); ok {
			return at.AddrPort().Port()
		}
	}
	return 53
}

// program returns the path of this program as it was called, for printing.
func program() string {
	if strings.ContainsRune(os.Args[0], os.PathSeparator) {
		return os.Args[0]
	}
	return "kinward"
}

// programFile is where this program lies, as commands want it that look for no
// program by its name alone: setcap is one. called is what program returns.
func programFile(called string) string {
	if strings.ContainsRune(called, os.PathSeparator) {
		return called
	}
	if path, err := os.Executable(); err == nil {
		return path
	}
	return called
}
