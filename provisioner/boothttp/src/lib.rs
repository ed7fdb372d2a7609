//! HTTP boot: content by digest with Range
