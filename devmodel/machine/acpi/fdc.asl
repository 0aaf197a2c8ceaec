/* The floppy controller, where the machine has one; tables.c says which drives there are. */
DefinitionBlock ("", "SSDT", 2, "LODGE ", "FDC     ", 0x00000001)
{
	External (\_SB.PCI0.LPC, DeviceObj)
	Scope (\_SB.PCI0.LPC)
	{
		Device (FDC0)
		{
			Name (_HID, EisaId ("PNP0700"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x03F0, 0x03F0, 0x01, 0x06)
				IO (Decode16, 0x03F7, 0x03F7, 0x01, 0x01)
				IRQNoFlags () { 6 }
				DMA (Compatibility, NotBusMaster, Transfer8) { 2 }
			})
			/* Drives 0 to 3: whether they are there; tape: never. */
			Name (_FDE, Buffer (0x14)
			{
				0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
				0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
				0x02, 0x00, 0x00, 0x00
			})
		}
	}
}
