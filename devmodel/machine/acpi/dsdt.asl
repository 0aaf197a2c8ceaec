/*
 * What the machine pc-1 is made of, for systems with ACPI. Addresses as in memmap.h, interrupt
 * wiring as in pci_pirq() and q35.c; compiled by iasl into a C array (compile.sh).
 */
DefinitionBlock ("", "DSDT", 2, "LODGE ", "PC-1    ", 0x00000001)
{
	/* 0: interrupts by the PIC, 1: by the IOAPIC; systems say which. */
	Name (PICF, Zero)
	Method (_PIC, 1, NotSerialized)
	{
		PICF = Arg0
	}

	/* SLP_TYP as in chipset/pm.h. */
	Name (_S0, Package () { 0x00, 0x00, Zero, Zero })
	Name (_S3, Package () { 0x05, 0x05, Zero, Zero })
	Name (_S4, Package () { 0x06, 0x06, Zero, Zero })
	Name (_S5, Package () { 0x07, 0x07, Zero, Zero })

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_UID, Zero)
			Name (_SEG, Zero)
			Name (_BBN, Zero)
			Name (_CCA, One)

			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0x0000, 0x0000, 0x00FF, 0x0000, 0x0100)
				IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0x0000, 0x0000, 0x0CF7, 0x0000, 0x0CF8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0x0000, 0x0D00, 0xFFFF, 0x0000, 0xF300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					Cacheable, ReadWrite,
					0x00000000, 0x000A0000, 0x000BFFFF, 0x00000000, 0x00020000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0x00000000, 0xC0000000, 0xFDFFFFFF, 0x00000000, 0x3E000000)
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					Cacheable, ReadWrite,
					0x0000000000000000, 0x0000004000000000, 0x00000047FFFFFFFF,
					0x0000000000000000, 0x0000000800000000)
			})

			Name (SUPP, Zero)
			Name (CTRL, Zero)
			Method (_OSC, 4, NotSerialized)
			{
				CreateDWordField (Arg3, 0x00, CDW1)
				If ((Arg0 == ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766")) &&
				    (Arg2 >= 0x03))
				{
					CreateDWordField (Arg3, 0x04, CDW2)
					CreateDWordField (Arg3, 0x08, CDW3)
					SUPP = CDW2
					/* Hot plug, PME, AER and the capability structure. */
					CTRL = (CDW3 & 0x1F)
					If (Arg1 != One)
					{
						CDW1 |= 0x08	/* unknown revision */
					}
					If (CDW3 != CTRL)
					{
						CDW1 |= 0x10	/* some bits were masked */
					}
					CDW3 = CTRL
				}
				Else
				{
					CDW1 |= 0x04	/* unknown UUID */
				}
				Return (Arg3)
			}

			Include ("prt.asl")
			Method (_PRT, 0, NotSerialized)
			{
				If (PICF)
				{
					Return (PRTA)
				}
				Return (PRTP)
			}

			Device (LPC)
			{
				Name (_ADR, 0x001F0000)
				OperationRegion (PIRQ, PCI_Config, 0x60, 0x0C)
				Field (PIRQ, ByteAcc, NoLock, Preserve)
				{
					PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8,
					Offset (0x08),
					PRQE, 8, PRQF, 8, PRQG, 8, PRQH, 8
				}

				Device (PIC)
				{
					Name (_HID, EisaId ("PNP0000"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0020, 0x0020, 0x01, 0x02)
						IO (Decode16, 0x00A0, 0x00A0, 0x01, 0x02)
						IO (Decode16, 0x04D0, 0x04D0, 0x01, 0x02)
						IRQNoFlags () { 2 }
					})
				}
				Device (DMAC)
				{
					Name (_HID, EisaId ("PNP0200"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0000, 0x0000, 0x01, 0x10)
						IO (Decode16, 0x0081, 0x0081, 0x01, 0x0F)
						IO (Decode16, 0x00C0, 0x00C0, 0x01, 0x20)
						DMA (Compatibility, NotBusMaster, Transfer8_16) { 4 }
					})
				}
				Device (TMR)
				{
					Name (_HID, EisaId ("PNP0100"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0040, 0x0040, 0x01, 0x04)
						IRQNoFlags () { 0 }
					})
				}
				Device (RTC)
				{
					Name (_HID, EisaId ("PNP0B00"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0070, 0x0070, 0x01, 0x04)
						IRQNoFlags () { 8 }
					})
				}
				Device (KBD)
				{
					Name (_HID, EisaId ("PNP0303"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
						IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
						IRQNoFlags () { 1 }
					})
				}
				Device (MOU)
				{
					Name (_HID, EisaId ("PNP0F13"))
					Name (_CRS, ResourceTemplate ()
					{
						IRQNoFlags () { 12 }
					})
				}
				Device (SPKR)
				{
					Name (_HID, EisaId ("PNP0800"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0061, 0x0061, 0x01, 0x01)
					})
				}
				Device (FPU)
				{
					Name (_HID, EisaId ("PNP0C04"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x00F0, 0x00F0, 0x01, 0x01)
						IRQNoFlags () { 13 }
					})
				}
				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, One)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
						IRQNoFlags () { 4 }
					})
				}
				Device (COM2)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 0x02)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x02F8, 0x02F8, 0x01, 0x08)
						IRQNoFlags () { 3 }
					})
				}
			}
		}

		/* Places that are taken: configuration space, chipset registers. */
		Device (MRES)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, One)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, 0xB0000000, 0x10000000)
				Memory32Fixed (ReadWrite, 0xFED1C000, 0x00004000)
				IO (Decode16, 0x0600, 0x0600, 0x01, 0x80)
				IO (Decode16, 0x00B2, 0x00B2, 0x01, 0x02)
				IO (Decode16, 0x0080, 0x0080, 0x01, 0x01)
				IO (Decode16, 0x0092, 0x0092, 0x01, 0x01)
				IO (Decode16, 0x00ED, 0x00ED, 0x01, 0x01)
				IO (Decode16, 0x0402, 0x0402, 0x01, 0x01)
			})
		}

		Device (HPET)
		{
			Name (_HID, EisaId ("PNP0103"))
			Name (_UID, Zero)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400)
			})
		}

		Device (FWCF)
		{
			Name (_HID, "QEMU0002")
			Name (_STA, 0x0B)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0510, 0x0510, 0x01, 0x0C)
			})
		}

		/* Where the VM generation ID lies; told of by \_GPE._E10 when it is another one. */
		Device (VGEN)
		{
			Name (_HID, "LODG0001")
			Name (_CID, "VM_Gen_Counter")
			Name (_DDN, "VM_Gen_Counter")
			Name (ADDR, Package () { 0xAFFFF000, Zero })
		}

		Include ("links.asl")
	}

	Scope (\_GPE)
	{
		Method (_E10, 0, NotSerialized)
		{
			Notify (\_SB.VGEN, 0x80)
		}
	}
}
