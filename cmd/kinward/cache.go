package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/resolver"
)

type cacheFlushRequest struct {
	Name  string `json:"name"`
	Below bool   `json:"below"`
}

type cacheFlushReply struct {
	Name    string `json:"name"`
	Below   bool   `json:"below"`
	Answers int    `json:"answers"` // how many were forgotten
}

// The cache is in the memory of serve alone, so neither does anything without it.
var (
	opCache      = operation[struct{}, resolver.CacheStats]{"cache", cacheFigures}
	opCacheFlush = operation[cacheFlushRequest, cacheFlushReply]{"cache-flush", cacheFlush}
)

var errNoCache = errors.New("kinward serve does not run on this data folder, and answers are kept in its memory alone")

func cacheFigures(_ context.Context, n *node, _ struct{}, _ progress) (resolver.CacheStats, error) {
	if n.serving == nil {
		return resolver.CacheStats{}, errNoCache
	}
	return n.serving.server.CacheStats(), nil
}

func cacheFlush(_ context.Context, n *node, req cacheFlushRequest, _ progress) (cacheFlushReply, error) {
	if n.serving == nil {
		return cacheFlushReply{}, errNoCache
	}
	name, err := blocklists.ParseName(req.Name)
	if err != nil {
		return cacheFlushReply{}, usageError(err)
	}
	return cacheFlushReply{name.String(), req.Below, n.serving.server.FlushName(name, req.Below)}, nil
}

func (c *cli) cacheCommand() *cobra.Command {
	cmd := c.addJSON(&cobra.Command{
		Use:   "cache",
		Short: "Show what is kept of answers, and forget some",
		Long: `Shows how many answers the running server keeps in memory, and how often they served.
They are never on disk, and are the same for everybody who asks: what is blocked is
decided for each question anew.`,
		Example: `  kinward cache
  kinward cache flush example.com
  kinward cache flush example.com --below`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return doServing(cmd.Context(), c, cmd, opCache, struct{}{}, printCache)
		},
	})
	var req cacheFlushRequest
	flush := c.addJSON(&cobra.Command{
		Use:   "flush NAME",
		Short: "Forget the answers for a name",
		Long: `Forgets the answers for a name, so that the next question asks the upstreams again:
after a site moved, or an upstream answered wrongly. Devices keep answers of their
own for as long as those hold.`,
		Example: `  kinward cache flush www.example.com
  kinward cache flush example.com --below`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name = args[0]
			return doServing(cmd.Context(), c, cmd, opCacheFlush, req, func(w io.Writer, r cacheFlushReply) {
				below := ""
				if r.Below {
					below = " and all names below it"
				}
				fmt.Fprintf(w, "Forgot %s for %s%s.\n", plural(r.Answers, "answer"), r.Name, below)
			})
		},
	})
	flush.Flags().BoolVar(&req.Below, "below", false, "also forget the names below it")
	cmd.AddCommand(flush)
	return cmd
}

func printCache(w io.Writer, s resolver.CacheStats) {
	share := func(n uint64) string {
		if all := s.Hits + s.Misses; all > 0 {
			return fmt.Sprintf(" (%.1f %%)", 100*float64(n)/float64(all))
		}
		return ""
	}
	verb := "take"
	if s.Entries == 1 {
		verb = "takes"
	}
	fmt.Fprintf(w, "%s %s %.1f of %d MB.\n", plural(s.Entries, "answer"), verb, float64(s.Bytes)/(1<<20), s.Budget>>20)
	fmt.Fprintf(w, "Since the start:\n")
	fmt.Fprintf(w, "  answered from the cache       %d%s\n", s.Hits, share(s.Hits))
	fmt.Fprintf(w, "  not there, so asked for       %d%s\n", s.Misses, share(s.Misses))
	fmt.Fprintf(w, "  asked for before their end    %d\n", s.Prefetched)
	fmt.Fprintf(w, "  old ones, for want of new     %d\n", s.Stale)
	fmt.Fprintf(w, "  let go to make room           %d\n", s.Evicted)
}
