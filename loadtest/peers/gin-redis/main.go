// Command gin-redis counts each click by one HINCRBY in Redis and answers when Redis has it. With `appendfsync always`
// an answered click is on disk, as with tallybook and TALLYBOOK_ACK=redis.
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
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const prefix = "stats:"

type store struct{ redis *redis.Client }

func (s store) add(ctx context.Context, banner int64) error {
	key := prefix + strconv.FormatInt(time.Now().Unix()/60, 10)
	return s.redis.HIncrBy(ctx, key, strconv.FormatInt(banner, 10), 1).Err()
}

func (s store) total(ctx context.Context, banner int64) (sum int64, err error) {
	field := strconv.FormatInt(banner, 10)
	// KEYS and not SCAN, which may answer a key twice; there are only a few, and nothing is measured now.
	minutes, err := s.redis.Keys(ctx, prefix+"*").Result()
	for _, minute := range minutes {
		count, err := s.redis.HGet(ctx, minute, field).Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, err
		}
		sum += count
	}
	return sum, err
}

func bannerID(c *gin.Context) (int64, bool) {
	id, err := strconv.ParseInt(c.Param("bannerId"), 10, 64)
	if err != nil || id < 1 {
		c.JSON(http.StatusBadRequest, gin.H{"error": "bannerId is not a positive integer"})
		return 0, false
	}
	return id, true
}

func routes(counts store) http.Handler {
	engine := gin.New()
	engine.POST("/stats/:bannerId", func(c *gin.Context) {
		banner, ok := bannerID(c)
		if !ok {
			return
		}
		if err := counts.add(c.Request.Context(), banner); err != nil {
			c.JSON(http.StatusServiceUnavailable, gin.H{"error": "redis"})
			return
		}
		c.Status(http.StatusNoContent)
	})
	engine.GET("/stats/:bannerId", func(c *gin.Context) {
		banner, ok := bannerID(c)
		if !ok {
			return
		}
		total, err := counts.total(c.Request.Context(), banner)
		if err != nil {
			c.JSON(http.StatusServiceUnavailable, gin.H{"error": "redis"})
			return
		}
		c.JSON(http.StatusOK, gin.H{"bannerId": banner, "total": total})
	})
	return engine
}

func connect(socket string, pool int) *redis.Client {
	return redis.NewClient(&redis.Options{
		Network:      "unix",
		Addr:         socket,
		PoolSize:     pool,
		MinIdleConns: pool, // no dialling while it is measured
		PoolTimeout:  10 * time.Second,
		MaxRetries:   -1, // a repeated HINCRBY counts twice
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	})
}

func main() {
	port := flag.Int("port", 8082, "port on the loopback interface")
	socket := flag.String("redis", "", "path of Redis' unix socket")
	pool := flag.Int("pool", 64, "connections to Redis")
	flag.Parse()
	if *socket == "" {
		log.Fatal("-redis is missing: give the path of a unix socket")
	}
	gin.SetMode(gin.ReleaseMode)
	client := connect(*socket, *pool)
	defer client.Close()
	server := &http.Server{
		Addr:              net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)),
		Handler:           routes(store{client}),
		ReadHeaderTimeout: 5 * time.Second,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Print(err)
	}
}
