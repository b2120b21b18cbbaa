// Command gin-memory counts clicks per minute and banner in the memory of one process. Nothing survives its end: it is
// the ceiling of what a plain Go service reaches, not a peer in what it promises.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
)

// counters holds clicks by minute (since the epoch) and banner.
type counters struct {
	mu      sync.Mutex
	minutes map[int64]map[int64]int64
}

func (c *counters) add(minute, banner int64) {
	c.mu.Lock()
	banners := c.minutes[minute]
	if banners == nil {
		banners = make(map[int64]int64)
		c.minutes[minute] = banners
	}
	banners[banner]++
	c.mu.Unlock()
}

func (c *counters) total(banner int64) (sum int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, banners := range c.minutes {
		sum += banners[banner]
	}
	return sum
}

func bannerID(c *gin.Context) (int64, bool) {
	id, err := strconv.ParseInt(c.Param("bannerId"), 10, 64)
	if err != nil || id < 1 {
		c.JSON(http.StatusBadRequest, gin.H{"error": "bannerId is not a positive integer"})
		return 0, false
	}
	return id, true
}

func routes() http.Handler {
	counts := &counters{minutes: make(map[int64]map[int64]int64)}
	engine := gin.New()
	engine.POST("/stats/:bannerId", func(c *gin.Context) {
		if banner, ok := bannerID(c); ok {
			counts.add(time.Now().Unix()/60, banner)
			c.Status(http.StatusNoContent)
		}
	})
	engine.GET("/stats/:bannerId", func(c *gin.Context) {
		if banner, ok := bannerID(c); ok {
			c.JSON(http.StatusOK, gin.H{"bannerId": banner, "total": counts.total(banner)})
		}
	})
	return engine
}

func main() {
	port := flag.Int("port", 8081, "port on the loopback interface")
	flag.Parse()
	gin.SetMode(gin.ReleaseMode)
	server := &http.Server{
		Addr:              net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)),
		Handler:           routes(),
		ReadHeaderTimeout: 5 * time.Second,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
