"""The generator, its adapters, the discriminator, prompts as tokens; models on disk."""
