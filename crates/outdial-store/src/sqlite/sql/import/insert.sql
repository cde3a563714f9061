INSERT INTO import (batch, request) VALUES (?1, ?2)
