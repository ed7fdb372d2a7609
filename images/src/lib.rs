//! Recipes: the node image and guest images
